"""Ansible's INI format, as it is: `[group]`, `[group:children]`, `[group:vars]`."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory import values
from deployer.inventory.ansible_names import host_and_port
from deployer.inventory.ansible_vars import PRIORITY, connection_of, without_secrets
from deployer.inventory.draft import ALL, UNGROUPED, Draft, Settings
from deployer.inventory.errors import LineNotUnderstood

_SECTION: Final = re.compile(r"\[([^\]:]+)(?::([a-z]+))?\]\s*(?:[#;].*)?")
_LONGEST: Final = 1 << 16


def read(text: str, file: str, base: Path, draft: Draft) -> None:
    """Add an INI inventory to a draft."""
    _Reader(file, base, draft).read(text)


class _Reader:
    def __init__(self, file: str, base: Path, draft: Draft) -> None:
        self._file = file
        self._base = base
        self._draft = draft
        self._problems = draft.problems
        self._group = UNGROUPED
        self._kind = "hosts"
        self._vars: dict[str, dict[str, Any]] = {}
        self._var_places: dict[str, dict[str, Place]] = {}

    def read(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if stripped and stripped[0] not in "#;":
                with self._problems.noted():
                    self._line(stripped, Place(self._file, number, len(line) - len(line.lstrip()) + 1))
        for group, found in self._vars.items():
            places = self._var_places[group]
            first = next(iter(places.values()))
            settings = self._draft.everything if group == ALL else self._draft.group(group, first, declared=False).settings
            settings.add(self._settings(found, places))
            if group != ALL and isinstance(found.get(PRIORITY), int):
                self._draft.group(group, first, declared=False).priority = found[PRIORITY]

    def _line(self, line: str, place: Place) -> None:
        if len(line) > _LONGEST:
            raise LineNotUnderstood(place, "this line is longer than 64 KiB", "Put long values into group_vars/ or host_vars/.")
        if line.startswith("[") and (section := _SECTION.fullmatch(line)) and not _is_host_line(line):
            self._section(section[1].strip(), section[2], place)
        elif self._kind == "hosts":
            self._host(line, place)
        elif self._kind == "children":
            name = values.group_name(line.split("#", 1)[0].strip(), place)
            if self._group != ALL:
                self._draft.group(self._group, place).children[name] = place
            self._draft.group(name, place, declared=False)
        else:
            self._variable(line, place)

    def _section(self, group: str, kind: str | None, place: Place) -> None:
        if kind not in {None, "hosts", "children", "vars"}:
            raise LineNotUnderstood(
                place, f"a section can't be of the kind '{kind}'", "Write [group], [group:children] or [group:vars]."
            )
        self._group, self._kind = values.group_name(group, place), kind or "hosts"
        if group != ALL:
            self._draft.group(group, place, declared=self._kind != "vars")

    def _host(self, line: str, place: Place) -> None:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise LineNotUnderstood(place, f"the quotes do not match: {error}".lower(), "Close the quote.") from None
        names, port = host_and_port(words[0], place)
        found: dict[str, Any] = {}
        for word in words[1:]:
            name, sign, value = word.partition("=")
            if not sign or not name:
                raise LineNotUnderstood(
                    place, f"'{word}' is not a variable of the host '{words[0]}'", "Write NAME=VALUE behind the host's name."
                )
            found[name] = _value(value)
        settings = self._settings(found, dict.fromkeys(found, place))
        if port is not None:
            settings.connection.setdefault("port", port)
        for name in names:
            with self._problems.noted():
                values.host_name(name, place)
                self._draft.host(name, place).settings.add(settings)
                if self._group not in {ALL, UNGROUPED}:
                    self._draft.group(self._group, place).hosts.setdefault(name, place)

    def _variable(self, line: str, place: Place) -> None:
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise LineNotUnderstood(place, f"'{line[:80]}' is not a variable", "Write NAME=VALUE.")
        self._vars.setdefault(self._group, {})[name.strip()] = _value(_without_comment(value).strip())
        self._var_places.setdefault(self._group, {})[name.strip()] = place

    def _settings(self, found: dict[str, Any], places: dict[str, Place]) -> Settings:
        settings = Settings(vars=without_secrets(found))
        settings.connection, settings.configuration = connection_of(found, places.__getitem__, self._base, self._problems)
        return settings


def _is_host_line(line: str) -> bool:
    """Whether `[2001:db8::1]:22` stands here rather than a section."""
    return values.is_ip(line.split("]", maxsplit=1)[0].removeprefix("["))


def _without_comment(value: str) -> str:
    """The value without ` # …` behind it, where that is not within quotes."""
    if "#" not in value or value.strip()[:1] in {"'", '"'}:
        return value
    return re.split(r"\s#", value, maxsplit=1)[0]


def _value(text: str) -> Any:
    """As Ansible reads values here: a literal of Python's where it is one, else text."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return found if _is_plain(found) else text


def _is_plain(value: object, left: int = 32) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return value - value == 0
        case list():
            return left > 0 and all(_is_plain(item, left - 1) for item in value)
        case dict():
            return left > 0 and all(isinstance(key, str) and _is_plain(item, left - 1) for key, item in value.items())
    return False
