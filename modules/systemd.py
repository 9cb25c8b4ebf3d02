"""systemd's units: services, timers, sockets and the others, drop-ins for the distribution's, masks."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("systemd", "systemd's units: services, timers, sockets and the others, drop-ins for the distribution's, masks.")

SUFFIXES = ("service", "timer", "socket", "target", "mount", "automount", "path", "slice", "swap", "scope", "device")
UNIT_NAME = re.compile(rf"[A-Za-z0-9:_.\\@-]{{1,200}}\.({'|'.join(SUFFIXES)})")
PLAIN_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")


def wrong_unit_name(name: str) -> str:
    """What is wrong with a unit's whole name; empty: nothing."""
    return "" if UNIT_NAME.fullmatch(name) else f"ends with .{', .'.join(SUFFIXES[:5])} …, such as hello.service"


def wrong_plain_name(name: str) -> str:
    """What is wrong with a name that gets its suffix from where it stands; empty: nothing."""
    if UNIT_NAME.fullmatch(name):
        return f"leaves out its suffix: '{name.rpartition('.')[0]}'"
    return "" if PLAIN_NAME.fullmatch(name) else "has only letters, digits and : _ . @ -"


SECTION = types.unit_section
NAMES = types.list_of(types.word)
RELOAD = Field(types.boolean, "Whether a reload is enough when a file in /etc changes that it names.", False)

COMMON = {
    "description": Field(types.line, "One line for people.", ""),
    "wanted_by": Field(NAMES, "Targets that start it: it is started now, and at every boot.", [], ["multi-user.target"]),
    "required_by": Field(NAMES, "Units that need it: it is started now, and with each of them.", []),
    "after": Field(NAMES, "Units that start before it.", []),
    "before": Field(NAMES, "Units that start after it.", []),
    "requires": Field(NAMES, "Units that it needs.", []),
    "wants": Field(NAMES, "Units that it would like.", []),
    "start": Field(types.null_or(types.boolean), "Whether it is started now; null: where something wants or requires it.", None),
    "reload_on_change": RELOAD,
    "unit": Field(SECTION, "More directives of [Unit].", {}),
}

SECTIONS = {
    "services": ("service", "Service", "What runs, and how."),
    "timers": ("timer", "Timer", "When the service of the same name runs."),
    "sockets": ("socket", "Socket", "Where to listen for the service of the same name."),
    "mounts": ("mount", "Mount", "What is mounted where. The name is the escaped path, as `systemd-escape -p` prints it."),
    "automounts": ("automount", "Automount", "What is mounted once somebody looks there: the mount of the same name."),
    "swaps": ("swap", "Swap", "Where memory is swapped to. The name is the escaped path, as `systemd-escape -p` prints it."),
    "paths": ("path", "Path", "Which paths to watch for the service of the same name."),
    "slices": ("slice", "Slice", "What its members may use together."),
    "targets": ("target", "", "A point that units can hang on."),
}


def unit_type(suffix: str, section: str, what: str, *, of_user: bool = False) -> Submodule:
    """What a unit of one kind may say."""
    own = {suffix: Field(SECTION, f"Directives of [{section}].", {})} if section else {}
    if suffix == "service" and not of_user:
        own["check"] = Field(types.boolean, "Whether it must be active, and stay so, before a generation is confirmed.", False)
    return Submodule({**COMMON, **own}, f"a mapping that describes a {suffix}")


for plural, (suffix, section, what) in SECTIONS.items():
    module.option(
        f"systemd.{plural}",
        types.attributes_of(unit_type(suffix, section, what), wrong_plain_name),
        f"Units of kind {suffix}, by name without `.{suffix}`. {what}",
        default={},
    )

OF_USERS = ("services", "timers", "sockets", "paths", "slices", "targets")

for plural in OF_USERS:
    suffix, section, what = SECTIONS[plural]
    module.option(
        f"systemd.user.{plural}",
        types.attributes_of(unit_type(suffix, section, what, of_user=True), wrong_plain_name),
        f"Units of kind {suffix} for every user's own systemd, by name without `.{suffix}`. {what}",
        default={},
    )

STORE = "/nix/store/"


def fingerprint(entry: Mapping[str, Any]) -> str:
    """What changes whenever the content of an /etc entry does, and only then."""
    source = entry["source"]
    if entry["text"] is not None:
        content = entry["text"].encode()
    elif source is not None and not source.startswith(STORE):
        content = b"".join(contents(Path(source)))
    else:
        content = str(source or entry["target"] or entry["kind"]).encode()
    return hashlib.sha256(content).hexdigest()


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes; a directory's names and bytes, in order."""
    if path.is_symlink():
        yield b"link " + os.fsencode(os.readlink(path)) + b"\0"
    elif path.is_dir():
        for member in sorted(path.iterdir()):
            yield b"name " + os.fsencode(member.name) + b"\0"
            yield from contents(member)
        yield b"end\0"
    else:
        data = path.read_bytes()
        yield f"file {len(data)}\0".encode() + data


def triggers(text: str, etc: Mapping[str, Any]) -> list[str]:
    """One word for each declared file of /etc that a unit's text names, or for the directory that the file is in."""
    return [
        f"{path}:{fingerprint(entry)}"
        for path, entry in sorted(etc.items())
        if f"/etc/{path}" in text and re.search(rf"/etc/{re.escape(path)}(?:/|\.?(?![\w./-]))", text)
    ]


def with_triggers(units: dict[str, Any], config: ConfigView) -> dict[str, Any]:
    """The units, each with a line that makes it differ when a file does that it names: so it is restarted."""
    made: dict[str, Any] = {}
    for name, unit in units.items():
        found = triggers("\n".join([unit["text"], *unit["drop_ins"].values()]), config["etc"])
        line = "X-Reload-Triggers" if unit["reload_on_change"] else "X-Restart-Triggers"
        added = "".join(f"{line}={one}\n" for one in found)
        if not found or unit["masked"]:
            made[name] = unit
        elif not unit["text"]:
            made[name] = unit | {"drop_ins": unit["drop_ins"] | {"deployer-triggers.conf": f"[Unit]\n{added}"}}
        elif re.search(r"^\[Unit\][ \t]*$", unit["text"], re.MULTILINE):
            made[name] = unit | {
                "text": re.sub(r"^\[Unit\][ \t]*\n?", f"[Unit]\n{added}", unit["text"], count=1, flags=re.MULTILINE)
            }
        else:
            made[name] = unit | {"text": f"[Unit]\n{added}\n{unit['text']}"}
    return made


def wrong_drop_in_name(name: str) -> str:
    """What is wrong with the file name of a drop-in; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.conf", name) else "is a file name that ends with .conf"


UNITS = types.attributes_of(
    Submodule(
        {
            "text": Field(types.string, "The unit file; empty for a unit of the distribution that is only extended.", ""),
            "drop_ins": Field(
                types.attributes_of(types.string, wrong_drop_in_name), "Drop-ins, by file name: `override.conf`.", {}
            ),
            "start": Field(types.boolean, "Whether it is active once the generation is.", False),
            "masked": Field(types.boolean, "Whether nothing can start it.", False),
            "wanted_by": Field(NAMES, "Targets that start it.", []),
            "required_by": Field(NAMES, "Units that need it.", []),
            "reload_on_change": RELOAD,
        },
        "a mapping with `text` or `drop_ins`",
    ),
    wrong_unit_name,
)

module.option(
    "systemd.units",
    UNITS,
    "Units by whole name, as text. The options by kind (`systemd.services` …) define these.",
    default={},
    apply=with_triggers,
)

module.option(
    "systemd.user.units",
    UNITS,
    "Units for every user's own systemd, by whole name, as text. The options by kind (`systemd.user.services` …) define these.",
    default={},
    apply=with_triggers,
)

module.option(
    "systemd.extend",
    types.attributes_of(types.attributes_of(SECTION), wrong_unit_name),
    "Directives added to units of the distribution, by unit and section, as a drop-in.",
    default={},
    example={"ssh.service": {"Service": {"Nice": -5}}},
)

module.option(
    "systemd.masked",
    types.unique_list_of(types.line),
    "Units that nothing can start.",
    default=[],
    example=["apt-daily.timer"],
)


def render(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A unit file: sections in the order given, directives by name, lists as repeated directives."""
    lines: list[str] = []
    for section, directives in sections.items():
        if directives:
            lines.append(f"[{section}]")
            for name, value in sorted(directives.items()):
                lines.extend(f"{name}={item}" for item in (value if isinstance(value, list) else [value]))
            lines.append("")
    return "\n".join(lines)


def directives_of_unit(unit: Mapping[str, Any]) -> dict[str, list[str]]:
    """[Unit]: what the named fields say, and what `unit` says besides."""
    named = {
        "Description": [unit["description"]] if unit["description"] else [],
        "After": unit["after"],
        "Before": unit["before"],
        "Requires": unit["requires"],
        "Wants": unit["wants"],
    }
    made = {name: [" ".join(words)] for name, words in named.items() if words}
    for name, value in unit["unit"].items():
        made[name] = [*made.get(name, []), *(value if isinstance(value, list) else [value])]
    return made


@module.defines("systemd.units")
def units_by_kind(config: ConfigView) -> dict[str, object]:
    """The units of all kinds, as text."""
    return rendered(config, "systemd", tuple(SECTIONS))


@module.defines("systemd.user.units")
def user_units_by_kind(config: ConfigView) -> dict[str, object]:
    """The units of users of all kinds, as text."""
    return rendered(config, "systemd.user", OF_USERS)


def rendered(config: ConfigView, above: str, kinds: tuple[str, ...]) -> dict[str, object]:
    """The units that the options by kind say, as text."""
    made: dict[str, object] = {}
    for plural in kinds:
        suffix, section, _ = SECTIONS[plural]
        for name, unit in config[f"{above}.{plural}"].items():
            sections: dict[str, Any] = {"Unit": directives_of_unit(unit)}
            if section:
                sections[section] = unit[suffix]
            wanted = bool(unit["wanted_by"] or unit["required_by"])
            made[f"{name}.{suffix}"] = {
                "text": render(sections) or "[Unit]\n",
                "wanted_by": unit["wanted_by"],
                "required_by": unit["required_by"],
                "start": wanted if unit["start"] is None else unit["start"],
                "reload_on_change": unit["reload_on_change"],
            }
    return made


@module.defines("systemd.units")
def extended_units(config: ConfigView) -> dict[str, object]:
    """What is added to units, as drop-ins."""
    return {name: {"drop_ins": {"deployer.conf": render(added)}} for name, added in config["systemd.extend"].items()}


@module.defines("systemd.units")
def masked_units(config: ConfigView) -> dict[str, object]:
    """Units that nothing can start."""
    return {name: {"masked": True} for name in config["systemd.masked"]}


@module.defines("checks")
def service_checks(config: ConfigView) -> dict[str, object]:
    """A check for each service that asks for one."""
    services = config["systemd.services"].items()
    return {f"{name}-service": {"kind": "unit", "unit": f"{name}.service"} for name, one in services if one["check"]}


def said_at(name: str, config: ConfigView, above: str, kinds: tuple[str, ...]) -> str:
    """The option that a unit comes from: one of those by kind, or `units` itself."""
    plain, _, suffix = name.rpartition(".")
    for plural in kinds:
        if SECTIONS[plural][0] == suffix and plain in config[f"{above}.{plural}"]:
            return f"{above}.{plural}.{plain}"
    return f"{above}.units.{name}"


@module.asserts
def units_are_whole(config: ConfigView) -> Iterator[Fault]:
    """A unit says something, and what it hangs on is a unit."""
    yield from wrong_units(config, "systemd", tuple(SECTIONS))
    yield from wrong_units(config, "systemd.user", OF_USERS)


def wrong_units(config: ConfigView, above: str, kinds: tuple[str, ...]) -> Iterator[Fault]:
    """What is wrong with the host's units, or with those of users."""
    for name, unit in config[f"{above}.units"].items():
        at = said_at(name, config, above, kinds)
        if not (unit["text"] or unit["drop_ins"] or unit["masked"]):
            yield Fault(f"unit '{name}' has neither `text` nor `drop_ins`, and is not masked", "Give it one of them.", at)
        if unit["masked"] and unit["text"]:
            yield Fault(f"unit '{name}' has a text and is masked", "Remove one of the two.", at)
        if unit["masked"] and unit["drop_ins"]:
            yield Fault(f"unit '{name}' is extended and masked", "Remove one of the two.", at)
        for other in [*unit["wanted_by"], *unit["required_by"]]:
            if not UNIT_NAME.fullmatch(other):
                yield Fault(f"unit '{name}' is to be started by '{other}', which is no unit", "Write multi-user.target.", at)
    for name, service in config[f"{above}.services"].items():
        if "ExecStart" not in service["service"] and service["service"].get("Type") != "oneshot":
            yield Fault(f"service '{name}' has no ExecStart", "Say what it runs.", f"{above}.services.{name}")
    for name, timer in config[f"{above}.timers"].items():
        if f"{name}.service" not in config[f"{above}.units"] and "Unit" not in timer["timer"]:
            yield Fault(f"timer '{name}' has no service '{name}.service' to start", "Declare it.", f"{above}.timers.{name}")
