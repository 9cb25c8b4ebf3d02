"""systemd's units: services, timers, sockets and the others, drop-ins for the distribution's, masks."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("systemd", "systemd's units: services, timers, sockets and the others, drop-ins for the distribution's, masks.")

SUFFIXES = ("service", "timer", "socket", "target", "mount", "automount", "path", "slice", "swap", "scope", "device")
UNIT_NAME = re.compile(rf"[A-Za-z0-9:_.\\@-]{{1,200}}\.({'|'.join(SUFFIXES)})")
PLAIN_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")
DIRECTIVE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def wrong_unit_name(name: str) -> str:
    """What is wrong with a unit's whole name; empty: nothing."""
    return "" if UNIT_NAME.fullmatch(name) else f"ends with .{', .'.join(SUFFIXES[:5])} …, such as hello.service"


def wrong_plain_name(name: str) -> str:
    """What is wrong with a name that gets its suffix from where it stands; empty: nothing."""
    if UNIT_NAME.fullmatch(name):
        return f"leaves out its suffix: '{name.rpartition('.')[0]}'"
    return "" if PLAIN_NAME.fullmatch(name) else "has only letters, digits and : _ . @ -"


def wrong_directive(name: str) -> str:
    """What is wrong with a directive's name; empty: nothing."""
    return "" if DIRECTIVE.fullmatch(name) else "looks like ExecStart"


VALUE = types.Scalar(
    "one line of text, a number, or true or false",
    lambda value: isinstance(value, str | int | float) and not re.search(r"[\x00\n\r]", str(value)),
    {"type": ["string", "number", "boolean"]},
    lambda value: ("yes" if value else "no") if isinstance(value, bool) else str(value),
)
SECTION = types.attributes_of(types.OneOrMany(VALUE), wrong_directive)
NAMES = types.list_of(types.line)

COMMON = {
    "description": Field(types.line, "One line for people.", ""),
    "wanted_by": Field(NAMES, "Targets that start it: it is started now, and at every boot.", [], ["multi-user.target"]),
    "required_by": Field(NAMES, "Units that need it: it is started now, and with each of them.", []),
    "after": Field(NAMES, "Units that start before it.", []),
    "before": Field(NAMES, "Units that start after it.", []),
    "requires": Field(NAMES, "Units that it needs.", []),
    "wants": Field(NAMES, "Units that it would like.", []),
    "start": Field(types.null_or(types.boolean), "Whether it is started now; null: where something wants or requires it.", None),
    "reload_on_change": Field(types.boolean, "Whether a reload is enough when a file changes that its text names.", False),
    "unit": Field(SECTION, "More directives of [Unit].", {}),
}

SECTIONS = {
    "services": ("service", "Service", "What runs, and how."),
    "timers": ("timer", "Timer", "When the service of the same name runs."),
    "sockets": ("socket", "Socket", "Where to listen for the service of the same name."),
    "mounts": ("mount", "Mount", "What is mounted where. The name is the escaped path, as `systemd-escape -p` prints it."),
    "paths": ("path", "Path", "Which paths to watch for the service of the same name."),
    "slices": ("slice", "Slice", "What its members may use together."),
    "targets": ("target", "", "A point that units can hang on."),
}


def unit_type(suffix: str, section: str, what: str) -> Submodule:
    """What a unit of one kind may say."""
    own = {suffix: Field(SECTION, f"Directives of [{section}].", {})} if section else {}
    return Submodule({**COMMON, **own}, f"a mapping that describes a {suffix}")


for plural, (suffix, section, what) in SECTIONS.items():
    module.option(
        f"systemd.{plural}",
        types.attributes_of(unit_type(suffix, section, what), wrong_plain_name),
        f"Units of kind {suffix}, by name without `.{suffix}`. {what}",
        default={},
    )

module.option(
    "systemd.units",
    types.attributes_of(
        Submodule(
            {
                "text": Field(types.string, "The unit file; empty for a unit of the distribution that is only extended.", ""),
                "drop_ins": Field(types.attributes_of(types.string), "Drop-ins, by file name: `override.conf`.", {}),
                "start": Field(types.boolean, "Whether it is active once the generation is.", False),
                "masked": Field(types.boolean, "Whether nothing can start it.", False),
                "wanted_by": Field(NAMES, "Targets that start it.", []),
                "required_by": Field(NAMES, "Units that need it.", []),
            },
            "a mapping with `text` or `drop_ins`",
        ),
        wrong_unit_name,
    ),
    "Units by whole name, as text. The options by kind (`systemd.services` …) define these.",
    default={},
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
    types.ListOf(types.line, unique=True),
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


def fingerprint(entry: Mapping[str, Any]) -> str:
    """What changes whenever the content of an /etc entry does."""
    content = entry["text"]
    if content is None:
        source = str(entry["source"] or entry["target"])
        try:
            with open(source, "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()[:32]
        except OSError:
            content = source
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def triggers(text: str, etc: Mapping[str, Any]) -> list[str]:
    """One word for each declared file of /etc that a unit's text names: the unit changes when the file does."""
    return [
        f"{path}:{fingerprint(entry)}"
        for path, entry in sorted(etc.items())
        if re.search(rf"/etc/{re.escape(path)}(?![\w./-])", text)
    ]


def with_triggers(sections: dict[str, Any], reload: bool, etc: Mapping[str, Any]) -> str:
    """The unit file, with a line that makes it differ when a file that it names does."""
    found = triggers(render(sections), etc)
    if found:
        name = "X-Reload-Triggers" if reload else "X-Restart-Triggers"
        sections["Unit"] = {**sections["Unit"], name: found}
    return render(sections)


@module.defines("systemd.units")
def units_by_kind(config: ConfigView) -> dict[str, object]:
    """The units of all kinds, as text."""
    made: dict[str, object] = {}
    etc = config["etc"]
    for plural, (suffix, section, _) in SECTIONS.items():
        for name, unit in config[f"systemd.{plural}"].items():
            head = {
                "Description": unit["description"],
                "After": " ".join(unit["after"]),
                "Before": " ".join(unit["before"]),
                "Requires": " ".join(unit["requires"]),
                "Wants": " ".join(unit["wants"]),
            }
            sections = {"Unit": {key: value for key, value in head.items() if value} | unit["unit"]}
            if section:
                sections[section] = unit[suffix]
            wanted = bool(unit["wanted_by"] or unit["required_by"])
            made[f"{name}.{suffix}"] = {
                "text": with_triggers(sections, unit["reload_on_change"], etc),
                "wanted_by": unit["wanted_by"],
                "required_by": unit["required_by"],
                "start": wanted if unit["start"] is None else unit["start"],
            }
    for name, sections in config["systemd.extend"].items():
        made.setdefault(name, {"drop_ins": {"deployer.conf": render(sections)}})
    for name in config["systemd.masked"]:
        made.setdefault(name, {"masked": True})
    return made


@module.asserts
def units_are_whole(config: ConfigView) -> Iterator[Fault]:
    """A unit says something, and what it hangs on is a unit."""
    for name, unit in config["systemd.units"].items():
        at = f"systemd.units.{name}"
        if not (unit["text"] or unit["drop_ins"] or unit["masked"]):
            yield Fault(f"unit '{name}' has neither `text` nor `drop_ins`, and is not masked", "", at)
        if unit["masked"] and unit["text"]:
            yield Fault(f"unit '{name}' has a text and is masked", "Remove one of the two.", at)
        for other in [*unit["wanted_by"], *unit["required_by"]]:
            if not UNIT_NAME.fullmatch(other):
                yield Fault(f"unit '{name}' is to be started by '{other}', which is no unit", "Write multi-user.target.", at)
    for name, service in config["systemd.services"].items():
        if "ExecStart" not in service["service"] and service["service"].get("Type") != "oneshot":
            yield Fault(f"service '{name}' has no ExecStart", "Say what it runs.", f"systemd.services.{name}")
    for name in config["systemd.timers"]:
        if f"{name}.service" not in config["systemd.units"] and "Unit" not in config["systemd.timers"][name]["timer"]:
            yield Fault(f"timer '{name}' has no service '{name}.service' to start", "Declare it.", f"systemd.timers.{name}")


@module.warns
def users_of_services_are_declared(config: ConfigView) -> Iterator[Fault]:
    """A service's user is somebody whom this configuration, or every system, has."""
    known = {*config["users"], "root", "nobody", "daemon", "www-data", "bin", "sys", "mail"}
    for name, service in config["systemd.services"].items():
        user = service["service"].get("User")
        if not isinstance(user, str) or user in known or user.isdecimal() or "%" in user:
            continue
        if service["service"].get("DynamicUser") != "yes":
            message = f"service '{name}' runs as '{user}', whom this configuration does not declare"
            yield Fault(message, "Add the user.", f"systemd.services.{name}.service.User")
