"""Asking programs of the host whether they accept what they are to be given, before anything has changed.

Of what sudo and sshd read, as it would be after the switch, a copy is laid out in our own directory, and the program of the host
is asked to judge it. A fault that the host's present files have as well is none of the deployment's. Other entries name the
command that judges them.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Dict, Final, Iterator, List, Mapping, Optional, Pattern, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import FILE, LINK, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import Plan, Problem
from deployer.host import disk_entry
from deployer.host.ledger import Ledger, Metadata
from deployer.host.machine import Machine
from deployer.host.paths import ETC, STATE_DIRECTORY

VERIFY: Final = STATE_DIRECTORY + "/verify"
"""Where the copy is, while it is judged."""
VALIDATED: Final = "{file}"
"""Stands in an entry's `validate` for where its content is."""
_LARGEST: Final = 4 << 20
"""Bytes of one file that are copied."""
_PRIVATE: Final = Metadata(0o700, 0, 0)
_CONTENT: Final = Metadata(0o440, 0, 0)


@dataclass(frozen=True)
class _Judge:
    main: str
    """The file that it begins with, below `/etc`."""
    directory: str
    """Of the files that this one includes."""
    command: Tuple[str, ...]
    includes: Pattern[str]
    """Of a line that includes others."""
    base: str = ETC + "/"
    """What a name of such a line that is not absolute is below."""

    def is_concerned(self, path: str) -> bool:
        """Whether it reads a path below `/etc`."""
        return path == self.main or path.startswith(self.directory + "/")

    def moved(self, content: bytes) -> bytes:
        """Its main file, with what it includes taken from the copy."""
        lines = content.decode(errors="surrogateescape").splitlines(keepends=True)
        moved = (re.sub(r"(?<=[\s\"])[^\s\"]+", self._moved_name, line) if self.includes.match(line) else line for line in lines)
        return "".join(moved).encode(errors="surrogateescape")

    def _moved_name(self, name: re.Match[str]) -> str:
        path = name.group() if name.group().startswith("/") else self.base + name.group()
        return VERIFY + path if path.startswith(f"{ETC}/{self.directory}") else path


_JUDGES: Final = (
    _Judge("sudoers", "sudoers.d", ("visudo", "-c", "-f"), re.compile(r"\s*[#@]include(dir)?\s")),
    _Judge(
        "ssh/sshd_config",
        "ssh/sshd_config.d",
        ("/usr/sbin/sshd", "-t", "-f"),
        re.compile(r"\s*include[\s\"]", re.IGNORECASE),
        ETC + "/ssh/",
    ),
)


def judged(machine: Machine, system: str, manifest: Manifest, ledger: Ledger, plan: Plan) -> Tuple[Problem, ...]:
    """What the host's programs would refuse of the files that the plan changes. `system` must be in the store."""
    changed = [action.target[len(ETC) + 1 :] for action in plan.actions if action.kind == "etc"]
    found = [
        problem
        for judge in _JUDGES
        if any(judge.is_concerned(path) for path in changed)
        for problem in _judge(machine, judge, changed, _Files(machine, system, manifest, ledger))
    ]
    entries = [entry for entry in manifest.etc if entry.validate and entry.path in changed]
    return (*found, *(problem for entry in entries for problem in _validate(machine, system, entry)))


def _validate(machine: Machine, system: str, entry: EtcEntry) -> Iterator[Problem]:
    """What the entry's own command says of its content, as it lies in the store."""
    file = f"{system}/etc/{entry.path}"
    program, *arguments = (word.replace(VALIDATED, file) for word in entry.validate)
    target = f"{ETC}/{entry.path}"
    if not machine.disk.exists(program):
        message = f"{program} is to judge it, and this host has no such program"
        yield Problem(target, message, "Install it on the host, or remove `validate`.")
        return
    refused = machine.system.judge([program, *arguments])
    if refused:
        message = f"{program.rpartition('/')[2]} of this host refuses it: {refused.replace(file, target)}"
        yield Problem(target, message, "Correct the entry; nothing was changed.")


def _judge(machine: Machine, judge: _Judge, changed: List[str], files: _Files) -> List[Problem]:
    refused = _ask(machine, judge, files.after(judge))
    if not refused or refused == _ask(machine, judge, files.now(judge)):
        return []
    named = [path for path in changed if judge.is_concerned(path) and f"{ETC}/{path}" in refused]
    path = (named or [path for path in changed if judge.is_concerned(path)])[0]
    program = judge.command[0].rpartition("/")[2]
    return [Problem(f"{ETC}/{path}", f"{program} of this host refuses it: {refused}", "Correct the entry; nothing was changed.")]


def _ask(machine: Machine, judge: _Judge, contents: Mapping[str, bytes]) -> str:
    """Its last words; empty where it accepts the files, or where there is nobody to judge or nothing to begin with."""
    if judge.main not in contents:
        return ""
    disk = machine.disk
    disk.remove_tree(VERIFY)
    try:
        made = {VERIFY}
        disk.make_directory(VERIFY, _PRIVATE)
        for path, content in contents.items():
            place = f"{VERIFY}{ETC}/{path}"
            above = place.split("/")
            for directory in ("/".join(above[:depth]) for depth in range(VERIFY.count("/") + 2, len(above))):
                if directory not in made:
                    disk.make_directory(directory, _PRIVATE)
                    made.add(directory)
            disk.write(place, judge.moved(content) if path == judge.main else content, _CONTENT)
        words = machine.system.judge([*judge.command, f"{VERIFY}{ETC}/{judge.main}"])
    finally:
        disk.remove_tree(VERIFY)
    return words.replace(VERIFY + ETC, ETC)


class _Files:
    """What stands, or will stand, in the part of `/etc` that a judge reads."""

    def __init__(self, machine: Machine, system: str, manifest: Manifest, ledger: Ledger) -> None:
        self._machine, self._ledger = machine, ledger
        self._system = f"{machine.disk.root}/{system.lstrip('/')}/etc"
        self._declared: Dict[str, EtcEntry] = {entry.path: entry for entry in manifest.etc}

    def now(self, judge: _Judge) -> Mapping[str, bytes]:
        """As it is."""
        return _known({path: self._standing(path) for path in self._paths(judge)})

    def after(self, judge: _Judge) -> Mapping[str, bytes]:
        """As it is to be."""
        return _known({path: self._following(path) for path in self._paths(judge)})

    def _paths(self, judge: _Judge) -> List[str]:
        standing = [f"{judge.directory}/{name}" for name in self._names(judge.directory)]
        known = [path for path in (*self._declared, *self._ledger.etc) if path.startswith(judge.directory + "/")]
        return sorted({judge.main, *standing, *(path for path in known if path.count("/") == judge.directory.count("/") + 1)})

    def _names(self, directory: str) -> List[str]:
        with contextlib.suppress(DeployerError):
            return self._machine.disk.names(f"{ETC}/{directory}")
        return []

    def _following(self, path: str) -> Optional[bytes]:
        entry, owned = self._declared.get(path), self._ledger.etc.get(path)
        if entry is not None and entry.kind in (LINK, FILE):
            return _read(f"{self._system}/{path}")
        if entry is not None:
            target = entry.target if entry.target.startswith("/") else f"{ETC}/{path.rpartition('/')[0]}/{entry.target}"
            return _read(f"{self._machine.disk.root}{target}") if entry.kind == SYMLINK else None
        if owned is None or owned.adopted:
            return self._standing(path)
        original = owned.original
        if original is None or original.kind != disk_entry.FILE:
            return None
        with contextlib.suppress(DeployerError, OSError):
            return self._machine.disk.read(original.copy)
        return None

    def _standing(self, path: str) -> Optional[bytes]:
        return _read(f"{self._machine.disk.root}{ETC}/{path}")


def _known(contents: Mapping[str, Optional[bytes]]) -> Mapping[str, bytes]:
    return {path: content for path, content in contents.items() if content is not None}


def _read(path: str) -> Optional[bytes]:
    """Links followed, as the judge itself would: for judging only."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(_LARGEST)
    return None
