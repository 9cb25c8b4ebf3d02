"""`shell.yaml`: what a project's developers, and its CI jobs, work with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deployer import yaml_source
from deployer.config.interpolation import Unclosed, interpolate
from deployer.environments.errors import ShellFileInvalid
from deployer.errors import DeployerError, Place, near, raise_all

NAME: Final = "shell.yaml"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = frozenset({"PATH"})
_PACKAGE: Final = "pkgs."


@dataclass(frozen=True, slots=True)
class ShellFile:
    """One such file, checked but for the packages that it names."""

    file: Path
    packages: tuple[str, ...]
    package_file: Path | None = None
    """The packages.yaml that has them; None: the one that is found as elsewhere."""
    base: str = ""
    pure: bool = False
    keep: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    """As they are written, with `${pkgs.NAME}`."""
    on_enter: str = ""
    """Lines that the shell runs first."""
    places: dict[str, Place] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> ShellFile:
        """Read and check it. Raises `YamlRefused`, `ShellFileInvalid`; all that is wrong together."""
        top = yaml_source.top_mapping(yaml_source.load(file), NAME)
        reader = _Reader(top)
        found = cls(
            file,
            packages=reader.strings("packages", required=True),
            package_file=_beside(file, reader.text("from")),
            base=reader.text("base"),
            pure=reader.boolean("pure"),
            keep=reader.strings("keep"),
            variables=reader.variables("environment"),
            on_enter=reader.hook("hooks", "enter"),
            places={key: top.place_of(key) for key in top.value},
        )
        reader.finish()
        return found

    @property
    def mentioned(self) -> tuple[str, ...]:
        """The packages that its variables name. Raises `ShellFileInvalid`."""
        found: dict[str, str] = {}
        self.variables_with(lambda name: found.setdefault(name, ""))
        return tuple(found)

    def variables_with(self, output_path: Callable[[str], str]) -> dict[str, str]:
        """The variables, with the store paths of packages. Raises `ShellFileInvalid`, and what `output_path` raises."""
        place = self.places.get("environment", Place(str(self.file)))

        def value_of(path: str) -> str:
            if not path.startswith(_PACKAGE):
                raise ShellFileInvalid(f"${{{path}}} means nothing here", place, "Only ${pkgs.NAME} does.")
            return output_path(path.removeprefix(_PACKAGE))

        try:
            return {name: str(interpolate(text, value_of)) for name, text in self.variables.items()}
        except Unclosed as error:
            raise ShellFileInvalid(
                f"'{error.text}' is never closed", place, "Write ${pkgs.NAME}, or $${ for a plain ${."
            ) from None


def _beside(file: Path, name: str) -> Path | None:
    return file.parent / name if name else None


class _Reader:
    """Reads keys one by one; every fault is noted, none stops the reading."""

    def __init__(self, top: yaml_source.Mapping) -> None:
        self._top = top
        self._known: list[str] = []
        self._errors: list[DeployerError] = []

    def text(self, key: str) -> str:
        """A string; empty where it is not said."""
        return str(self._value(key, str, "a string", ""))

    def boolean(self, key: str) -> bool:
        """`true` or `false`."""
        return bool(self._value(key, bool, "true or false", False))

    def strings(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of strings."""
        items = self._value(key, list, "a list of strings", [])
        if not all(isinstance(item, str) for item in items):
            self._fault(key, f"'{key}' must be a list of strings")
        if required and not items:
            self._fault(key, f"'{key}' must name something")
        return tuple(map(str, items))

    def variables(self, key: str) -> dict[str, str]:
        """A mapping from names of variables to strings."""
        found = {}
        for name, value in self._value(key, dict, "a mapping", {}).items():
            if name in _OURS or not _VARIABLE.fullmatch(name):
                self._fault(key, f"{name!r} can't be set", "PATH is made from `packages`." if name in _OURS else "")
            elif not isinstance(value, str):
                self._fault(key, f"the variable {name!r} must be a string", "Put numbers and true/false in quotes.")
            else:
                found[name] = value
        return found

    def hook(self, key: str, name: str) -> str:
        """One of several texts."""
        hooks = self._value(key, dict, f"a mapping with '{name}'", {})
        for other in hooks:
            if other != name:
                self._fault(key, f"there is no hook {other!r}", f"The only one is '{name}'.")
        if not isinstance(hooks.get(name, ""), str):
            self._fault(key, f"'{key}.{name}' must be lines of shell")
        return str(hooks.get(name, ""))

    def finish(self) -> None:
        """Raise all that was wrong."""
        for key in self._top.value:
            if key not in self._known:
                nearest = near(key, self._known)
                self._fault(
                    key,
                    f"there is no key {key!r}",
                    f"Did you mean {nearest[0]!r}?" if nearest else f"The keys are {', '.join(self._known)}.",
                )
        raise_all(self._errors)

    def _value(self, key: str, kind: type, what: str, default: Any) -> Any:
        self._known.append(key)
        node = self._top.get(key)
        if node is None:
            return default
        value = yaml_source.to_plain(node)
        if not isinstance(value, kind):
            self._fault(key, f"'{key}' must be {what}")
            return default
        return value

    def _fault(self, key: str, reason: str, advice: str = "") -> None:
        self._errors.append(ShellFileInvalid(reason, self._top.place_of(key), advice))
