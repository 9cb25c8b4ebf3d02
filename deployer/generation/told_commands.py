"""The commands that a host is told to run: of checks, of what judges contents, of units; and where a configuration says them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.errors import Place
from deployer.formats.manifest import Manifest
from deployer.generation.command_lines import programs_at, unit_commands

if TYPE_CHECKING:
    from deployer.config import Config
    from deployer.config.definitions import Definition

_ROOT: Final = re.compile(r"^\s*Root(?:Directory|Image)\s*=\s*(\S+)", re.MULTILINE)
_START_ONLY: Final = re.compile(r"^\s*RootDirectoryStartOnly\s*=\s*(\S+)", re.MULTILINE)
_BOUND: Final = re.compile(r"^\s*Bind(?:ReadOnly)?Paths\s*=(.*)$", re.MULTILINE)
_IMAGES: Final = re.compile(r"^\s*(?:MountImages|ExtensionImages|ExtensionDirectories)\s*=", re.MULTILINE)
_YES: Final = frozenset({"1", "yes", "y", "true", "t", "on"})
_OTHER_PATH: Final = re.compile(r"^\s*(?:ExecSearchPath|EnvironmentFile|(?:Pass)?Environment(?=.*\bPATH\b))\s*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ToldCommand:
    """One command, which is not empty."""

    whose: str
    """For people: `check 'a'`."""
    words: tuple[str, ...]
    at: str
    """The option that says it."""
    judges: bool = False
    """Whether it judges a content, before anything has changed."""
    unit: str = ""
    directive: str = ""
    """Of the unit."""
    root: str = ""
    """What it sees as `/`, also where `+` stands before it. Empty: what the host does."""
    mounts: tuple[str, ...] = ()
    """Where in that its unit has more than is in the root's own tree."""
    service: str = ""
    """Which of the system's services, which may have roots, it is of."""
    has_path: bool = False
    """Whether its unit, or its user, may say where programs are found by their names."""

    @property
    def programs(self) -> tuple[str, ...]:
        """What runs, each started by the one before."""
        return tuple(self.words[at] for at in programs_at(self.words))

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the last of them is told."""
        return self.words[programs_at(self.words)[-1] + 1 :]

    @property
    def finds_more(self) -> bool:
        """Whether programs are found by their names also where a host would not look."""
        return self.has_path or any(word.startswith("PATH=") for word in self.words)


def started_commands(manifest: Manifest) -> Iterator[ToldCommand]:
    """Those that deployer itself starts on a host: of checks, and what judges contents."""
    for check in manifest.checks:
        if check.command:
            yield ToldCommand(f"check '{check.name}'", check.command, f"checks.{check.name}.command")
    for entry in manifest.etc:
        if entry.validate:
            yield ToldCommand(f"etc entry '{entry.path}'", entry.validate, f"etc.{entry.path}.validate", judges=True)


def commands_of_units(manifest: Manifest, config: Config) -> Iterator[ToldCommand]:
    """Those that systemd starts."""
    for option, units in (("systemd", manifest.units), ("systemd.user", manifest.user_units)):
        services = config.get(f"{option}.services")
        for unit in units:
            texts = [unit.text, *unit.drop_ins.values()]
            roots, only = ([found for text in texts for found in one.findall(text)] for one in (_ROOT, _START_ONLY))
            outside = bool(only) and only[-1].lower() in _YES
            name = unit.name.removesuffix(".service")
            for directive, words in (command for text in texts for command in unit_commands(text)):
                yield ToldCommand(
                    f"unit '{unit.name}'",
                    words,
                    f"{option}.services.{name}.service.{directive}" if name in services else f"{option}.units.{unit.name}",
                    unit=unit.name,
                    directive=directive,
                    root=roots[-1] if roots and (directive == "ExecStart" or not outside) else "",
                    mounts=tuple(place for text in texts for place in _mounts(text)),
                    service=name if option == "systemd" and name in services else "",
                    has_path=option == "systemd.user" or any(_OTHER_PATH.search(text) for text in texts),
                )


def _mounts(text: str) -> Iterator[str]:
    """Where a unit's file mounts what is not in its root; `/` where that may be anywhere."""
    if _IMAGES.search(text):
        yield "/"
    for line in _BOUND.findall(text):
        for word in line.split():
            source, *target = word.strip("\"'").lstrip("-+").split(":")
            yield target[0] if target else source


def place_of(config: Config, command: ToldCommand, package: str) -> Place | None:
    """Where a user says it: the option, or else where the package is named, which a module made the command from."""
    place = config.place_of(command.at)
    if place is not None and Path(place.file).suffix != ".py":
        return place
    wanted = f"${{pkgs.{package}}}"
    given = (one for definitions in config.definitions.values() for one in definitions)
    return next((one.place for one in _nested(given) if isinstance(one.value, str) and wanted in one.value), place)


def _nested(definitions: Iterator[Definition]) -> Iterator[Definition]:
    for definition in definitions:
        value: Any = definition.value
        if isinstance(value, Mapping):
            yield from _nested(iter(value.values()))
        elif isinstance(value, list):
            yield from _nested(iter(value))
        else:
            yield definition
