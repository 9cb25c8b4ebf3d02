"""Health checks: what must hold before a generation is confirmed."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("checks", "Health checks: what must hold before a generation is confirmed.")


def wrong_header(name: str) -> str:
    """What is wrong with a header's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name) else "is a header's name such as Accept"


STATUS = types.text("a status such as 204, a range such as 200-299, or 2xx", pattern=r"[1-5]xx|[1-5][0-9]{2}(?:-[1-5][0-9]{2})?")
STATUSES = types.OneOrMany(types.one_of(types.integer(100, 599), STATUS))
HEADERS = types.attributes_of(types.line, wrong_header)
COMPARISON = types.text(
    "a comparison such as '< 0.05'", pattern=r"(?:<=|>=|==|!=|<|>) ?[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|"
)
LONGEST = 120.0
"""Seconds for one attempt."""

FROM = types.enumeration("host", "controller")

COMMON = {
    "from": Field(FROM, "Who probes: the host itself, or the controller, before it confirms.", "host"),
    "initial_delay": Field(types.seconds, "Seconds before the first attempt.", 0.0),
    "interval": Field(types.seconds, "Seconds between attempts.", 1.0),
    "timeout": Field(types.seconds, "Seconds for one attempt, at most 120.", 5.0),
    "successes": Field(types.integer(1, 100), "Successes in a row that make it green.", 1),
    "failures": Field(
        types.integer(1, 100), "Failures in a row that make it red again, within `activation.min_healthy_time`.", 1
    ),
}
WEB = {
    "url": Field(types.line, "http: the address. prometheus: the server's, without /api.", ""),
    "headers": Field(HEADERS, "http, prometheus: headers that are sent. All users of the host can read them.", {}),
    "ca": Field(types.line, "http, prometheus: a file of certificates to believe, of whoever probes; empty: its own.", ""),
    "verify": Field(types.boolean, "http, prometheus: whether the certificate must be good.", True),
    "server_name": Field(types.line, "http, prometheus: the host name to present and to find in the certificate.", ""),
}
OWN = {
    "method": Field(types.enumeration("GET", "HEAD", "OPTIONS", "POST", "PUT"), "http: how to ask.", "GET"),
    "status": Field(STATUSES, "http: the status that is healthy, or several: 204, 200-299, 3xx.", 200, [200, "3xx"]),
    "body": Field(types.string, "http: text that the body must contain.", ""),
    "expect_headers": Field(HEADERS, "http: headers that the answer must have, each with text that it contains.", {}),
    "redirects": Field(types.integer(0, 10), "http: how many are followed; one more is the answer.", 0),
    "certificate_days": Field(types.integer(0, 10000), "http: days for which the certificate must still be good.", 0),
    "address": Field(types.line, "tcp: where to connect.", "127.0.0.1"),
    "port": Field(types.integer(0, 65535), "tcp: where to connect.", 0),
    "send": Field(types.string, "tcp: what to say once connected. http: the body of the request.", ""),
    "expect": Field(types.string, "tcp: text that the answer must contain.", ""),
    "pattern": Field(types.regex, "http, tcp, file: must be found in what is read. journal: must not be found.", ""),
    "command": Field(types.list_of(types.string), "command: program and arguments; healthy where it ends with 0.", []),
    "unit": Field(types.line, "unit: healthy where it is active and has not restarted by itself. journal: whose lines.", ""),
    "declared": Field(types.boolean, "unit, journal: whether the unit is one of this configuration; no: of the host's.", True),
    "memory_max": Field(types.size, "unit: bytes that it may use; 0: any.", 0, "512M"),
    "path": Field(types.line, "file: must be there.", ""),
    "mode": Field(types.text("a file mode in octal", pattern="0?[0-7]{3,4}|"), "file: its permissions; empty: any.", ""),
    "max_age": Field(types.seconds, "file: seconds since it was last written, at most; 0: any.", 0.0),
    "query": Field(types.line, "prometheus: the query.", ""),
    "comparison": Field(COMPARISON, "prometheus: must hold for every sample.", "", "< 0.05"),
    "inconclusive": Field(
        types.enumeration("red", "green"), "prometheus: what it is where there is no answer, no sample or no number.", "red"
    ),
}
FIELDS = {**WEB, **OWN}
NEEDS = {
    "http": ["url"],
    "tcp": ["port"],
    "command": ["command"],
    "unit": ["unit"],
    "journal": ["pattern"],
    "file": ["path"],
    "prometheus": ["url", "query", "comparison"],
}
MAY_HAVE = {
    "http": [*WEB, "method", "status", "body", "expect_headers", "redirects", "certificate_days", "send", "pattern"],
    "tcp": ["address", "port", "send", "expect", "pattern"],
    "command": ["command"],
    "unit": ["unit", "declared", "memory_max"],
    "journal": ["pattern", "unit", "declared"],
    "file": ["path", "mode", "max_age", "pattern"],
    "prometheus": [*WEB, "query", "comparison", "inconclusive"],
}
FROM_CONTROLLER = ["http", "tcp", "prometheus"]
"""Kinds that run no program: a configuration runs none on the controller."""
SECRET = {"authorization", "cookie", "proxy-authorization", "x-api-key"}
METADATA = {"fd00:ec2::254", "100.100.100.200", "192.0.0.192"}

module.option(
    "checks",
    types.attributes_of(
        Submodule(
            {"kind": Field(types.enumeration(*NEEDS), "What is probed."), **FIELDS, **COMMON},
            "a mapping that describes a check",
        )
    ),
    "Probes, by name. All must be green within `activation.check_deadline`, or the host goes back.",
    default={},
    example={"page": {"kind": "http", "url": "http://127.0.0.1:8080/health"}},
)


@module.asserts
def each_check_is_complete(config: ConfigView) -> Iterator[Fault]:
    """A check has what its kind needs, and nothing that its kind does not know."""
    for name, check in config["checks"].items():
        kind, at = check["kind"], f"checks.{name}"
        for needed in NEEDS[kind]:
            if not check[needed]:
                yield Fault(f"check '{name}' is of kind {kind} and has no `{needed}`", f"Add `{needed}`.", at)
        for key, field in FIELDS.items():
            if key not in MAY_HAVE[kind] and check[key] != field.default:
                known = ", ".join(sorted(MAY_HAVE[kind]))
                yield Fault(f"check '{name}' is of kind {kind}, which has no `{key}`", f"It has: {known}.", f"{at}.{key}")


@module.asserts
def each_check_can_be_made(config: ConfigView) -> Iterator[Fault]:
    """What is asked can be asked."""
    for name, check in config["checks"].items():
        at = f"checks.{name}"
        if check["kind"] == "command" and check["command"] and not check["command"][0].startswith("/"):
            yield Fault(
                f"check '{name}': its program {check['command'][0]!r} is no absolute path",
                "Write ${pkgs.NAME}/bin/PROGRAM, or a path of the host's.",
                f"{at}.command",
            )
        if check["kind"] == "file" and check["path"] and not check["path"].startswith("/"):
            yield Fault(f"check '{name}': {check['path']!r} is no absolute path", "Begin it with /.", f"{at}.path")
        if check["url"]:
            yield from web_faults(name, check)
        host = host_of(check["url"]) if check["url"] else check["address"]
        if is_metadata(host):
            yield Fault(
                f"check '{name}': {host} is an address at which clouds keep a machine's secrets",
                "Name an address of the service's own.",
                f"{at}.{'url' if check['url'] else 'address'}",
            )


def web_faults(name: str, check: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a question to a web server."""
    at, secure = f"checks.{name}", check["url"].startswith("https:")
    if not well_formed(check["url"]):
        yield Fault(f"check '{name}': {check['url']!r} is no http address", "Write http://HOST:PORT/PATH.", f"{at}.url")
        return
    for header in check["headers"]:
        if header.lower() in SECRET:
            yield Fault(
                f"check '{name}': the header {header} would be in the store, where all users of the host can read it",
                "Use a check of kind command, whose program reads the secret from a file.",
                f"{at}.headers",
            )
    if check["send"] and check["method"] not in ("POST", "PUT"):
        yield Fault(f"check '{name}': a {check['method']} has no body to `send`", "Add `method: POST`.", f"{at}.send")
    for key in ("ca", "certificate_days"):
        if check[key] and not (secure and check["verify"]):
            yield Fault(
                f"check '{name}': `{key}` needs a certificate that is verified", "Ask https, with `verify: true`.", f"{at}.{key}"
            )
    if check["ca"] and not check["ca"].startswith("/"):
        yield Fault(f"check '{name}': {check['ca']!r} is no absolute path", "Name a file on the host.", f"{at}.ca")


@module.asserts
def each_check_ends(config: ConfigView) -> Iterator[Fault]:
    """No attempt is endless, and a check can become green before the deadline."""
    times = config["activation"]
    for name, check in config["checks"].items():
        said, deadline = "`activation.check_deadline`", times["check_deadline"]
        if check["from"] == "controller":
            said, deadline = "half of `activation.confirm_timeout`", times["confirm_timeout"] / 2
        if not 0 < check["timeout"] <= LONGEST:
            yield Fault(
                f"check '{name}': a time-out of {check['timeout']:g} s is not from 0 to {LONGEST:g}",
                "Give one attempt some seconds.",
                f"checks.{name}.timeout",
            )
        soonest = check["initial_delay"] + (check["successes"] - 1) * check["interval"]
        if 0 < deadline <= soonest:
            yield Fault(
                f"check '{name}' can't be green before {soonest:g} s, and {said} is {deadline:g} s",
                "Make that longer, or `initial_delay`, `interval` and `successes` smaller.",
                f"checks.{name}",
            )


@module.asserts
def the_controller_can_probe(config: ConfigView) -> Iterator[Fault]:
    """What the controller is to probe can be seen from there."""
    for name, check in config["checks"].items():
        if check["from"] == "controller" and check["kind"] not in FROM_CONTROLLER:
            kinds = ", ".join(FROM_CONTROLLER)
            yield Fault(
                f"check '{name}' is of kind {check['kind']}, which only the host can probe",
                f"Leave out `from`. The controller probes: {kinds}.",
                f"checks.{name}.from",
            )


@module.asserts
def checked_units_exist(config: ConfigView) -> Iterator[Fault]:
    """A check of a unit names one that is declared, and that is started."""
    units = config["systemd.units"]
    for name, check in config["checks"].items():
        if check["kind"] not in ("unit", "journal") or not check["unit"] or not check["declared"]:
            continue
        at = f"checks.{name}.unit"
        if check["unit"] not in units:
            known = ", ".join(sorted(units)) or "none"
            yield Fault(
                f"check '{name}': the unit '{check['unit']}' is not declared",
                f"Declared: {known}. For a unit of the host's own, say `declared: false`.",
                at,
            )
        elif check["kind"] == "unit" and not units[check["unit"]]["start"]:
            yield not_started(name, check["unit"], config)


def not_started(name: str, unit: str, config: ConfigView) -> Fault:
    """What is wrong with a check of a unit that is never active, at what asked for the check."""
    said = of_unit(unit, config)
    plain, _, kind = unit.rpartition(".")
    asked = kind == "service" and said == f"systemd.services.{plain}" and config["systemd.services"][plain]["check"]
    at, also = (f"{said}.check", "") if asked else (f"checks.{name}.unit", said)
    if config["systemd.units"][unit]["masked"]:
        also = "systemd.masked" if unit in config["systemd.masked"] else also
        return Fault(f"check '{name}': the unit '{unit}' is masked", "Remove the mask, or the check.", at, also)
    return Fault(f"check '{name}': nothing starts the unit '{unit}'", "Add `wanted_by`, or remove the check.", at, also)


def of_unit(name: str, config: ConfigView) -> str:
    """The option that a unit comes from."""
    plain, _, kind = name.rpartition(".")
    by_kind = f"systemd.{kind}s"
    return f"{by_kind}.{plain}" if by_kind in config and plain in config[by_kind] else f"systemd.units.{name}"


def well_formed(url: str) -> bool:
    """Whether a check can ask this address."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and "@" not in parts.netloc
        )
    except ValueError:
        return False


def host_of(url: str) -> str:
    """The host's name or address in a URL; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_metadata(host: str) -> bool:
    """Whether an address is one at which clouds keep a machine's secrets."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_link_local or str(inner or address) in METADATA
