"""The security labels of what is ours, where SELinux is on.

No policy has rules for `/nix`: what lies there would have a label that services may neither run nor read. So the policy is given
a module of ours. It grants nothing to anybody; it only says that the programs of the store have the label of those in
`/usr/bin`, and systems that of `/etc`, whatever these are on this host. All that lies in the store beside systems has one label:
files with equal content are one file there, which can't have two, and what is made has the label of the directory around it.
"""

from __future__ import annotations

import base64
import os
import re
from typing import Final, List, Mapping, NamedTuple, Sequence

from deployer.errors import DeploymentError
from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.paths import LABELS, STATE_DIRECTORY
from deployer.host.process import run

_MODULE: Final = "deployer"
_SOURCE: Final = f"{LABELS}/{_MODULE}.cil"
"""semodule(8) names a module as its file is named."""
_INSTALLED: Final = f"{LABELS}/installed"
_SYSTEM: Final = re.compile("/nix/store/[0-9a-z]+-system")
_ASKING_TIMEOUT: Final = 30.0
_LABELLING_TIMEOUT: Final = 300.0
_POLICY_TIMEOUT: Final = 300.0
"""The policy is compiled anew: seconds, and minutes on a slow machine."""
_DIRECTORY: Final = Metadata(0o755, 0, 0)
_OPEN: Final = Metadata(0o644, 0, 0)

_PROGRAM: Final = "/usr/bin/deployer-example"
_SHARED: Final = "/usr/share/deployer-example"
_SETTING: Final = "/etc/deployer-example"
_UNIT: Final = "/usr/lib/systemd/system/deployer-example.service"
_STATE: Final = "/var/lib/deployer-example"
_IN_STORE: Final = f"/nix/store/{'0' * 32}-example/bin/example"
_ANYWHERE: Final = "/deployer-example/example"
"""Paths for whose like the policy is asked. The last has no rule of its own."""


class _Rule(NamedTuple):
    """What a path that matches is labelled like; with nothing, it is left as it is."""

    pattern: str
    kind: str
    like: str


_STORE: Final = (
    _Rule("/nix", "dir", _SHARED),
    _Rule("/nix/store", "dir", _SHARED),
    _Rule("/nix/store/.+", "any", _PROGRAM),
    _Rule(r"/nix/store/\.links/.+", "any", ""),  # more names of files that have another
)
_SYSTEMS: Final = (
    _Rule("/nix/store/[0-9a-z]+-system(/.*)?", "any", _SETTING),
    _Rule("/nix/store/[0-9a-z]+-system/etc/systemd/(system|user)(/.*)?", "any", _UNIT),
    _Rule("/nix/var/deployer(/.*)?", "any", _STATE),
    _Rule("/var/lib/deployer/profile(/.*)?", "any", _SETTING),
    _Rule(r"/var/lib/deployer/selinux/deployer\.cil", "any", _SHARED),
)


class LabelUnknown(DeploymentError):
    """The host's policy answers otherwise than we understand."""

    answer: str

    @property
    def message(self) -> str:
        """What it says."""
        return f"SELinux is on, and matchpathcon says of the labels of files: {self.answer!r}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Is a policy installed? `sestatus` and `matchpathcon /etc/example` on the host tell."


class Labels:
    """Of one host on which SELinux is on."""

    def __init__(self, disk: Disk, programs: str = "") -> None:
        """`programs` is a directory with other programs to use than the host's."""
        self._disk, self._programs = disk, programs

    def prepare(self) -> bool:
        """Have the policy know our directories, which are there, and label them; whether that was still to be done.

        Takes seconds where it was. Raises `LabelUnknown`, `ProgramFailed`, `ProgramMissing`, `ProgramTimedOut`.
        """
        installed, known = self._installed(), self._labels()
        rules = (*_STORE, *_SYSTEMS) if self._is_ours(installed, known) else _SYSTEMS
        module = _module(rules, known)
        if installed == module:
            return False
        self._disk.make_directory(LABELS, _DIRECTORY)
        self._disk.write(_SOURCE, module.encode(), _labelled(known[_SHARED]))
        run([self._program("semodule"), "-i", _SOURCE], timeout=_POLICY_TIMEOUT)
        self._restorecon(["/nix", STATE_DIRECTORY])
        self._disk.write(_INSTALLED, module.encode(), _OPEN)  # only now: what is cut off before this is done again
        return True

    def label(self, paths: Sequence[str]) -> None:
        """Label store paths that are new, before anything of them is used. Raises `ProgramFailed`, `ProgramMissing`."""
        if self._installed().startswith(_module(_STORE[:1], self._labels())):
            paths = [path for path in paths if _SYSTEM.fullmatch(path)]  # the others have their labels by themselves
        if paths:
            self._restorecon(paths)

    def forget(self) -> None:
        """Take our rules out of the policy again. Raises `ProgramFailed`, `ProgramMissing`, `ProgramTimedOut`."""
        if self._disk.entry(LABELS) is not None:
            listed = run([self._program("semodule"), "-l"], timeout=_ASKING_TIMEOUT).text.split()
            if _MODULE in listed:
                run([self._program("semodule"), "-r", _MODULE], timeout=_POLICY_TIMEOUT)

    def _is_ours(self, installed: str, known: Mapping[str, str]) -> bool:
        """Whether the rules for the store are ours to make: those of somebody who installed a Nix stay."""
        return known[_IN_STORE] == known[_ANYWHERE] or installed.startswith(_module(_STORE[:1], known))

    def _installed(self) -> str:
        try:
            return self._disk.read(_INSTALLED).decode()
        except FileNotFoundError:
            return ""

    def _labels(self) -> Mapping[str, str]:
        """What the policy has for paths like these: `system_u:object_r:bin_t:s0`."""
        paths = (_PROGRAM, _SHARED, _SETTING, _UNIT, _STATE, _IN_STORE, _ANYWHERE)
        answer = run([self._program("matchpathcon"), "-n", *paths], timeout=_ASKING_TIMEOUT, check=False)
        labels = answer.text.split("\n")
        if len(labels) != len(paths) or any(label.count(":") < 2 for label in labels[:-2]):
            raise LabelUnknown(answer.last_words)
        return dict(zip(paths, labels))

    def _restorecon(self, paths: Sequence[str]) -> None:
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        run([self._program("restorecon"), "-i", "-R", "-0", "-f", "-"], stdin=names, timeout=_LABELLING_TIMEOUT)

    def _program(self, name: str) -> str:
        return os.path.join(self._programs, name)


def _labelled(label: str) -> Metadata:
    """That semodule(8) may read: it may not read all that the one who starts it may."""
    value = base64.b64encode(label.encode() + b"\0").decode()
    return Metadata(_OPEN.mode, _OPEN.uid, _OPEN.gid, xattrs={"security.selinux": value})


def _module(rules: Sequence[_Rule], known: Mapping[str, str]) -> str:
    """The rules in SELinux' common intermediate language, which semodule(8) takes as it is."""
    lines: List[str] = []
    for rule in rules:
        label = " ".join((*known[rule.like].split(":")[:3], "((s0) (s0))")) if rule.like else ""
        lines.append(f'(filecon "{rule.pattern}" {rule.kind} ({label}))\n')
    return "".join(lines)
