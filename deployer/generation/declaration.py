"""From an evaluated configuration to what a host is told: the manifest, and the content of each file in it. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from deployer.errors import ConfigurationError, Place
from deployer.formats.etc_readers import reader_of
from deployer.formats.manifest import (
    DIRECTORY,
    FILE,
    LINK,
    SYMLINK,
    Check,
    EtcEntry,
    Group,
    Manifest,
    Retention,
    Timing,
    Unit,
    User,
)
from deployer.records import fields_of

LARGEST_TEXT: Final = 256 << 10
"""Bytes. Larger files of the user's, and those that are not UTF-8, become store paths of their own."""
UNIT_DIRECTORY: Final = "systemd/system"
USER_UNIT_DIRECTORY: Final = "systemd/user"
_KINDS: Final = {"directory": DIRECTORY, "symlink": SYMLINK, "file": FILE, "link": LINK}


class Evaluated(Protocol):
    """What is read of `deployer.config.Config`."""

    def get(self, path: str) -> Any:
        """The value of an option."""

    def place_of(self, path: str) -> Place | None:
        """Where it is defined."""


class SourceUnreadable(ConfigurationError):
    """A file that an `etc` entry names can't be read."""

    path: str
    source: str
    reason: str
    place: Place | None

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"etc entry '{self.path}': its source {self.source} can't be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to look at."""
        return "Paths are relative to the file that says them; correct `source`, or give `text`."


class UnitFileDeclaredTwice(ConfigurationError):
    """An `etc` entry stands where a unit's file does."""

    path: str
    place: Place | None

    @property
    def message(self) -> str:
        """Which."""
        return f"etc entry '{self.path}' stands where a declared unit has its file"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Remove the `etc` entry, and say it under `systemd`."


@dataclass(frozen=True, slots=True)
class Content:
    """Where the bytes of an entry come from: one of the three is given."""

    text: str | None = None
    local: Path | None = None
    """A file or directory on the controller, to become a store path."""
    stored: str | None = None
    """A path in the store, of a package's output or below it."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A manifest that lacks only what is known once its store paths are: `runtime` and `environment`."""

    manifest: Manifest
    contents: Mapping[str, Content]
    """By `EtcEntry.path`, for kinds `link` and `file`."""
    packages: tuple[str, ...]
    """Names of the packages on PATH."""
    controller_checks: tuple[Check, ...] = ()
    """Those that the controller probes: hosts do not hear of them, and they change no system."""


def declare(config: Evaluated, store_dir: str) -> Declaration:
    """Read the options that hosts act on. Raises `SourceUnreadable`."""
    entries: list[EtcEntry] = []
    contents: dict[str, Content] = {}
    unit_files = _unit_files(config.get("systemd.units"), UNIT_DIRECTORY)
    unit_files |= _unit_files(config.get("systemd.user.units"), USER_UNIT_DIRECTORY)
    for path, value in sorted({**unit_files, **config.get("etc")}.items()):
        if path in unit_files and path in config.get("etc"):
            raise UnitFileDeclaredTwice(path, config.place_of(f"etc.{path}"))
        entry, content = _etc(path, value, config, store_dir)
        entries.append(entry)
        if content is not None:
            contents[path] = content
    checks = _checks(config.get("checks"))
    manifest = Manifest(
        etc=tuple(entries),
        units=_units(config.get("systemd.units")),
        user_units=_units(config.get("systemd.user.units")),
        users=tuple(_fields(User, name, value) for name, value in sorted(config.get("users").items())),
        groups=tuple(_fields(Group, name, value) for name, value in sorted(config.get("groups").items())),
        sysctl={key: str(value) for key, value in sorted(config.get("sysctl").items())},
        tmpfiles=tuple(config.get("tmpfiles.rules")),
        checks=checks["host"],
        timing=_timing(config.get("activation")),
        generations=_retention(config.get("generations")),
        requires=_requires(config),
        firewall=bool(config.get("firewall")["enable"]),
    )
    return Declaration(manifest, contents, tuple(config.get("packages")), checks["controller"])


def _requires(config: Evaluated) -> dict[str, str]:
    declared = {*config.get("users"), *config.get("groups")}
    required = {**config.get("requires.paths"), **config.get("requires.accounts")}
    return {name: ", ".join(needed_by) for name, needed_by in sorted(required.items()) if name not in declared}


def _retention(value: Mapping[str, Any]) -> Retention:
    return Retention(int(value["keep"]), float(value["keep_for"]))


def _timing(values: Mapping[str, Any]) -> Timing:
    seconds = {key: float(value) for key, value in values.items() if key != "on_reboot"}
    return Timing(**seconds, on_reboot=values["on_reboot"])


def _units(units: Mapping[str, Mapping[str, Any]]) -> tuple[Unit, ...]:
    return tuple(
        Unit(
            name,
            text=value.get("text") or "",
            drop_ins=dict(sorted((value.get("drop_ins") or {}).items())),
            start=value.get("start", True),
            masked=value.get("masked", False),
        )
        for name, value in sorted(units.items())
    )


def _unit_files(units: Mapping[str, Mapping[str, Any]], directory: str) -> dict[str, dict[str, Any]]:
    """The files of units, where systemd looks for them."""
    files: dict[str, dict[str, Any]] = {}
    for name, unit in units.items():
        if unit["masked"]:
            files[f"{directory}/{name}"] = {"target": "/dev/null"}
        elif unit["text"]:
            files[f"{directory}/{name}"] = {"text": unit["text"]}
        for drop_in, text in unit["drop_ins"].items():
            files[f"{directory}/{name}.d/{drop_in}"] = {"text": text}
        for kind, others in (("wants", unit["wanted_by"]), ("requires", unit["required_by"])):
            for other in others:
                # The distribution may have enabled its own unit of this name, which ours stands for now.
                files[f"{directory}/{other}.{kind}/{name}"] = {"target": f"../{name}", "replace": bool(unit["text"])}
    return files


def _etc(path: str, value: Mapping[str, Any], config: Evaluated, store_dir: str) -> tuple[EtcEntry, Content | None]:
    reader = reader_of(path)
    real = value.get("mode") is not None or reader is not None
    kind = value.get("kind") or ("symlink" if value.get("target") else "file" if real else "link")
    usual = reader.mode if reader is not None and kind == "file" else "0644"
    common = EtcEntry(
        path,
        _KINDS[kind],
        mode=(value.get("mode") or ("0755" if kind == "directory" else usual)).zfill(4),
        owner=value.get("owner", "root"),
        group=value.get("group", "root"),
        replace=value.get("replace", False),
        validate=tuple(value.get("validate") or ()),
    )
    match kind:
        case "directory":
            return common, None
        case "symlink":
            return dataclasses.replace(common, target=value["target"]), None
    if value.get("text") is not None:
        return _with_text(common, value["text"])
    source = value["source"]
    if source.startswith(store_dir + "/"):
        return dataclasses.replace(common, target=source), Content(stored=source)
    return _with_source(common, Path(source), config)


def _with_text(entry: EtcEntry, text: str) -> tuple[EtcEntry, Content]:
    return dataclasses.replace(entry, sha256=hashlib.sha256(text.encode()).hexdigest()), Content(text=text)


def _with_source(entry: EtcEntry, source: Path, config: Evaluated) -> tuple[EtcEntry, Content]:
    try:
        if source.is_dir():
            return entry, Content(local=source)
        data = source.read_bytes()
    except OSError as error:
        place = config.place_of(f"etc.{entry.path}")
        raise SourceUnreadable(entry.path, str(source), error.strerror or str(error), place) from None
    if len(data) <= LARGEST_TEXT:
        try:
            return _with_text(entry, data.decode())
        except UnicodeDecodeError:
            pass
    return dataclasses.replace(entry, sha256=hashlib.sha256(data).hexdigest()), Content(local=source)


def _checks(given: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Check, ...]]:
    """By who probes."""
    return {
        where: tuple(_check(name, value) for name, value in sorted(given.items()) if value["from"] == where)
        for where in ("host", "controller")
    }


def _check(name: str, value: Mapping[str, Any]) -> Check:
    """A single status is a number in the manifest, as it always was; all else is a list of ranges."""
    given = value["status"]
    spans = tuple(re.sub(r"(\d)xx", r"\g<1>00-\g<1>99", str(one)) for one in (given if isinstance(given, list) else [given]))
    single = len(spans) == 1 and spans[0].isdecimal()
    status = {"status": int(spans[0])} if single else {"status": None, "statuses": spans}
    return _fields(Check, name, {**value, **status})  # type: ignore[no-any-return]


def _fields(kind: Any, name: str, value: Mapping[str, Any]) -> Any:
    """A manifest's dataclass from an option's attributes of the same names; what is null has the default."""
    known = {field.name for field in fields_of(kind)} - {"name"}
    given = {
        key: tuple(item) if isinstance(item, list) else item for key, item in value.items() if key in known and item is not None
    }
    return kind(name, **given)
