"""Health checks: what must hold before a generation is confirmed."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("checks", "Health checks: what must hold before a generation is confirmed.")

NEEDS = {"http": "url", "tcp": "port", "command": "command", "unit": "unit"}

module.option(
    "checks",
    types.attributes_of(
        Submodule(
            {
                "kind": Field(types.enumeration(*NEEDS), "What is probed."),
                "url": Field(types.line, "http: the address, asked from the host itself.", "", "http://127.0.0.1/health"),
                "status": Field(types.integer(100, 599), "http: the status that is healthy.", 200),
                "body": Field(types.string, "http: text that the body must contain.", ""),
                "address": Field(types.line, "tcp: where to connect.", "127.0.0.1"),
                "port": Field(types.integer(0, 65535), "tcp: where to connect.", 0),
                "command": Field(
                    types.list_of(types.string), "command: program and arguments; healthy where it ends with 0.", []
                ),
                "unit": Field(types.line, "unit: healthy where it is active and has not been restarted by itself.", ""),
                "initial_delay": Field(types.seconds, "Seconds before the first attempt.", 0.0),
                "interval": Field(types.seconds, "Seconds between attempts.", 1.0),
                "timeout": Field(types.seconds, "Seconds for one attempt.", 5.0),
                "successes": Field(types.integer(1, 100), "Successes in a row that make it green.", 1),
            },
            "a mapping that describes a check",
        )
    ),
    "Probes, by name. All must be green within `activation.check_deadline`, or the host goes back.",
    default={},
    example={"page": {"kind": "http", "url": "http://127.0.0.1:8080/health"}},
)


@module.asserts
def each_check_is_complete(config: ConfigView) -> Iterator[Fault]:
    """A check has what its kind needs."""
    for name, check in config["checks"].items():
        needed = NEEDS[check["kind"]]
        if not check[needed]:
            yield Fault(f"check '{name}' is of kind {check['kind']} and has no `{needed}`", f"Add `{needed}`.", f"checks.{name}")
        elif check["kind"] == "http" and not well_formed(check["url"]):
            yield Fault(
                f"check '{name}': {check['url']!r} is no http address", "Write http://HOST:PORT/PATH.", f"checks.{name}.url"
            )
        elif check["kind"] == "command" and not check["command"][0].startswith("/"):
            yield Fault(
                f"check '{name}': its program {check['command'][0]!r} is no absolute path",
                "Write ${pkgs.NAME}/bin/PROGRAM, or a path of the host's.",
                f"checks.{name}.command",
            )


def well_formed(url: str) -> bool:
    """Whether a check can ask this address."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


@module.asserts
def checked_units_exist(config: ConfigView) -> Iterator[Fault]:
    """A check of a unit names one that is declared, and that is started."""
    units = config["systemd.units"]
    for name, check in config["checks"].items():
        if check["kind"] == "unit" and check["unit"]:
            if check["unit"] not in units:
                known = ", ".join(sorted(units)) or "none"
                yield Fault(
                    f"check '{name}': the unit '{check['unit']}' is not declared", f"Declared: {known}.", f"checks.{name}.unit"
                )
            elif not units[check["unit"]]["start"]:
                yield Fault(
                    f"check '{name}': nothing starts the unit '{check['unit']}'", "Add `wanted_by`.", f"checks.{name}.unit"
                )
