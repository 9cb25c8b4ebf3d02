"""Executable inventories: programs that print Ansible's `--list` JSON."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

from deployer.errors import DeployerError, Place
from deployer.inventory import values
from deployer.inventory.ansible_vars import PRIORITY, connection_of, without_secrets
from deployer.inventory.draft import ALL, UNGROUPED, Draft, Settings
from deployer.inventory.errors import ScriptFailed, UnknownKey, WrongType

TIMEOUT: Final = 60.0
"""Seconds for `--list`, and for each `--host` of a program that prints no `_meta`."""
MAX_OUTPUT: Final = 64 << 20
"""Bytes of its JSON."""
MAX_DEPTH: Final = 32
_GROUP_KEYS: Final = ("hosts", "vars", "children")


def is_program(path: Path) -> bool:
    """Whether a file is a program: it may be run, and begins as programs do (a mode alone can be an accident)."""
    import os

    if not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4).startswith((b"#!", b"\x7fELF"))


def read(path: Path, base: Path, draft: Draft) -> None:
    """Run a program, and add what it prints to a draft. Raises `ScriptFailed`."""
    document = _run(path, "--list")
    _Reader(path, base, draft).read(document)


def _run(path: Path, *arguments: str) -> dict[str, Any]:
    import asyncio  # late: few inventories are programs

    from deployer import process

    place = Place(str(path))
    command = [str(path.absolute()), *arguments]
    answers: list[process.Completed | BaseException] = []

    def work() -> None:
        try:
            answers.append(asyncio.run(process.run(command, timeout=TIMEOUT, directory=path.absolute().parent)))
        except BaseException as error:
            answers.append(error)

    # A thread of its own, because the caller's may already have an event loop that runs.
    thread = threading.Thread(target=work, name="inventory-program")
    thread.start()
    thread.join()
    match answers[0]:
        case process.Completed() as completed:
            return _parse(completed.stdout, place)
        case DeployerError() as error:
            raise ScriptFailed(place, error.message) from None
        case OSError() as error:
            raise ScriptFailed(place, error.strerror or str(error)) from None
        case BaseException() as error:
            raise error


def _parse(output: bytes, place: Place) -> dict[str, Any]:
    if len(output) > MAX_OUTPUT:
        raise ScriptFailed(place, f"it printed more than {MAX_OUTPUT >> 20} MiB")
    try:
        document = json.loads(output.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ScriptFailed(place, f"its JSON is malformed: {error}"[:200]) from None
    if not isinstance(document, dict):
        raise ScriptFailed(place, "its JSON is not an object")
    if _depth(document) > MAX_DEPTH:
        raise ScriptFailed(place, f"its JSON is nested deeper than {MAX_DEPTH}")
    return document


class _Reader:
    def __init__(self, path: Path, base: Path, draft: Draft) -> None:
        self._path = path
        self._place = Place(str(path))
        self._base = base
        self._draft = draft

    def read(self, document: dict[str, Any]) -> None:
        meta = document.pop("_meta", None)
        for name, group in document.items():
            with self._draft.problems.noted():
                self._group(name, group)
        known = meta.get("hostvars") if isinstance(meta, dict) else None
        if isinstance(known, dict):
            for name, variables in known.items():
                with self._draft.problems.noted():
                    self._host(name).add(self._settings(variables, f"the variables of '{name}'"))
        elif meta is None:
            for name in list(self._draft.hosts):
                if self._draft.hosts[name].place == self._place:
                    with self._draft.problems.noted():
                        variables = _run(self._path, "--host", name)
                        self._host(name).add(self._settings(variables, f"the variables of '{name}'"))

    def _group(self, name: str, group: object) -> None:
        values.group_name(name, self._place)
        if isinstance(group, list):
            group = {"hosts": group}
        if not isinstance(group, dict):
            raise WrongType(self._place, f"the group '{name}'", "an object", values.describe(group))
        if name != ALL:
            self._draft.group(name, self._place)
        for key, value in group.items():
            match key:
                case "hosts":
                    for host in self._names(value, f"`hosts` of the group '{name}'"):
                        with self._draft.problems.noted():
                            self._host(host)
                            if name not in {ALL, UNGROUPED}:
                                self._draft.group(name, self._place).hosts.setdefault(host, self._place)
                case "children":
                    for child in self._names(value, f"`children` of the group '{name}'"):
                        self._draft.group(values.group_name(child, self._place), self._place)
                        if name != ALL:
                            self._draft.group(name, self._place).children[child] = self._place
                case "vars":
                    settings = self._settings(value, f"the variables of '{name}'")
                    self._draft.settings_of(name, self._place).add(settings)
                    if name != ALL and isinstance(settings.vars.get(PRIORITY), int):
                        self._draft.group(name, self._place).priority = settings.vars[PRIORITY]
                case _:
                    self._draft.problems.add(UnknownKey(self._place, key, f"the group '{name}'", _GROUP_KEYS))

    def _names(self, value: object, what: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise WrongType(self._place, what, "a list of names", values.describe(value))
        return value

    def _host(self, name: str) -> Settings:
        return self._draft.host(values.host_name(name, self._place), self._place).settings

    def _settings(self, variables: object, what: str) -> Settings:
        if not isinstance(variables, dict):
            raise WrongType(self._place, what, "an object", values.describe(variables))
        settings = Settings(vars=without_secrets(variables))
        settings.connection, settings.configuration = connection_of(
            variables, lambda name: self._place, self._base, self._draft.problems
        )
        return settings


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
    return deepest
