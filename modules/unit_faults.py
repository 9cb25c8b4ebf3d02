"""What of systemd's units would only fail on a host: directives that no systemd knows, and accounts that nobody declares."""

from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Module, unknown_directive, wrong_section

module = Module("unit_faults", "What of systemd's units would only fail on a host: unknown directives and accounts.")

KINDS = {
    "systemd": ("service", "timer", "socket", "mount", "automount", "swap", "path", "slice", "target"),
    "systemd.user": ("service", "timer", "socket", "path", "slice", "target"),
}
"""Of units that are said by directives, by the options above them."""
ACCOUNTS = {
    "User": ("runs as", "users"),
    "Group": ("runs as", "groups"),
    "SupplementaryGroups": ("runs in the group", "groups"),
    "SocketUser": ("belongs to", "users"),
    "SocketGroup": ("belongs to", "groups"),
}
"""Directives that name accounts, in words, and where such are declared."""


def said(config: ConfigView) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Every section that is said by directives: its unit, its name, the option that says it, and the directives."""
    for above, kinds in KINDS.items():
        for kind in kinds:
            option = f"{above}.{kind}s"
            for name, unit in config[option].items():
                for section in ("unit", kind):
                    if section in unit:
                        yield f"{name}.{kind}", section.capitalize(), f"{option}.{name}.{section}", unit[section]
    for unit, sections in config["systemd.extend"].items():
        for section, directives in sections.items():
            yield unit, section, f"systemd.extend.{unit}.{section}", directives


@module.asserts
def systemd_knows_each_directive(config: ConfigView) -> Iterator[Fault]:
    """What systemd does not know it skips, with a line in the journal that nobody reads."""
    for unit, section, at, directives in said(config):
        instead = wrong_section(unit, section)
        if instead:
            yield Fault(f"unit '{unit}' can't have a section [{section}]", instead, at, named=True)
            continue
        for name in directives:
            instead = unknown_directive(unit, section, name)
            if instead:
                message = f"unit '{unit}': systemd knows no `{name}` in [{section}]"
                yield Fault(message, instead, asked_at(at, name, config), named=True)


@module.asserts
def accounts_of_units_are_known(config: ConfigView) -> Iterator[Fault]:
    """Who a unit runs as is somebody whom this configuration, or every system, has."""
    known = {*config["known_accounts"]}
    for unit, section, at, directives in said(config):
        if section not in ("Service", "Socket") or at.startswith("systemd.user.") or is_true(directives.get("DynamicUser")):
            continue
        name, _, kind = unit.rpartition(".")
        for directive, (is_theirs, declared) in ACCOUNTS.items():
            for account in accounts(directives.get(directive)):
                if account not in known:
                    who = "whom" if declared == "users" else "which"
                    message = f"{kind} '{name}' {is_theirs} '{account}', {who} this configuration does not declare"
                    remedy = f"Declare `{declared}.{account}`, or, where the host has the account by itself, "
                    yield Fault(message, f"{remedy}`requires.accounts.{account}`.", asked_at(at, directive, config))


def asked_at(at: str, directive: str, config: ConfigView) -> str:
    """The option that asked for a directive: that of a job, where the service is one's."""
    name = at.removeprefix("systemd.services.").removesuffix(".service")
    job = config["jobs"].get(name)
    if job is not None and directive in job["service"]:
        return f"jobs.{name}.service.{directive}"
    return f"jobs.{name}.user" if job is not None and directive == "User" else f"{at}.{directive}"


def accounts(value: object) -> Iterator[str]:
    """The names that a directive says: those that are neither numbers nor filled in by systemd."""
    for text in value if isinstance(value, list) else [value]:
        for name in str(text).split() if text is not None else ():
            if not name.isdecimal() and "%" not in name:
                yield name


def is_true(value: object) -> bool:
    """Whether systemd takes it for yes."""
    return str(value).lower() in ("yes", "true", "on", "1")


@module.asserts
def each_file_has_one_owner(config: ConfigView) -> Iterator[Fault]:
    """A unit's files are no entries of `etc` as well."""
    etc = config["etc"]
    for above, directory in (("systemd", "systemd/system"), ("systemd.user", "systemd/user")):
        for name, unit in config[f"{above}.units"].items():
            for path in files(f"{directory}/", name, unit):
                if path in etc:
                    message = f"etc entry '{path}' stands where the declared unit '{name}' has a file of its own"
                    remedy = f"Remove the entry, and say it under `{above}`."
                    yield Fault(message, remedy, f"etc.{path}", said_at(above, name, config))


def files(directory: str, name: str, unit: Mapping[str, Any]) -> Iterator[str]:
    """The paths below /etc that a unit has."""
    if unit["text"] or unit["masked"]:
        yield f"{directory}{name}"
    for drop_in in unit["drop_ins"]:
        yield f"{directory}{name}.d/{drop_in}"
    for kind, others in (("wants", unit["wanted_by"]), ("requires", unit["required_by"])):
        for other in others:
            yield f"{directory}{other}.{kind}/{name}"


def said_at(above: str, name: str, config: ConfigView) -> str:
    """The option that a unit comes from: one of those by kind, what extends it, or `units` itself."""
    plain, _, kind = name.rpartition(".")
    for option, key in ((f"{above}.{kind}s", plain), (f"{above}.extend", name)):
        if option in config and key in config[option]:
            return f"{option}.{key}"
    return f"{above}.units.{name}"
