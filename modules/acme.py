"""Certificates from an authority that speaks ACME, such as Let's Encrypt: got by certbot, and renewed in time."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, types

module = Module("acme", "Certificates from an authority that speaks ACME, such as Let's Encrypt.")

HOSTS_OWN = "/usr/bin/certbot"
STATE = "acme"
CHALLENGES = "acme-challenges"
WELL_KNOWN = "/.well-known/acme-challenge/"
RELOADED = "acme-reloaded"
RELOAD = (
    'set -eu; new=$(cat "$1"); kept=$2; shift 2; [ "$new" != "$(cat "$kept" 2>/dev/null)" ] || exit 0; '
    'systemctl try-reload-or-restart -- "$@"; echo "$new" >"$kept"'
)
"""The certificate that was taken up is kept: one that services could not take up is theirs again next time."""
NAME = types.text("a host name without *", pattern=r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
UNIT = types.text("a service such as nginx.service", pattern=r"[A-Za-z0-9:_.@-]+\.service")


def wrong_name(name: str) -> str:
    """What is wrong with a name; empty: nothing. It is a file's name and a unit's."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,200}", name) else "has only letters, digits, - and ."


module.option(
    "acme.package",
    types.null_or(types.package_or_host),
    "Where certbot comes from: ${pkgs.NAME}, or host: the host's own. null: there is none.",
    default=None,
    example="host",
)
module.option(
    "acme.accept_terms",
    types.boolean,
    "Whether you have read the authority's terms of service, and accept them.",
    default=False,
)
module.option(
    "acme.email",
    types.null_or(types.word),
    "Whom the authority tells of troubles; null: nobody.",
    default=None,
    example="ops@example.org",
)
module.option(
    "acme.server",
    types.text("an address", pattern=r"https?://[^\s\"']+"),
    "The authority's directory.",
    default="https://acme-v02.api.letsencrypt.org/directory",
    example="https://acme-staging-v02.api.letsencrypt.org/directory",
)
module.option(
    "acme.certificates",
    types.attributes_of(
        Submodule(
            {
                "names": Field(types.unique_list_of(NAME), "Host names that it is for; empty: its own name.", []),
                "site": Field(
                    types.null_or(types.word),
                    "The site of nginx on port 80 that shows the authority that the names are yours; null: one of its own.",
                    None,
                ),
                "reload": Field(
                    types.list_of(UNIT),
                    "Services that take up a new certificate: by a reload, or a restart.",
                    ["nginx.service"],
                ),
                "schedule": Field(
                    types.word,
                    "When to look whether it must be renewed, 30 days before it ends: a calendar event of systemd.time(7).",
                    "*-*-* 00,12:00",
                    "daily",
                ),
                "spread": Field(types.duration, "Seconds within which that starts at random.", 6 * 3600.0, "6h"),
            },
            "a mapping that describes a certificate",
        ),
        wrong_name,
    ),
    "Certificates, by name. Each is in /var/lib/acme/live/NAME: `fullchain.pem` and `privkey.pem`, for root alone. It is got "
    "when it is first declared, before the generation is confirmed, and stays whatever becomes of it.",
    default={},
    example={"example.org": {"names": ["example.org", "www.example.org"]}},
)


def names_of(name: str, one: Mapping[str, Any]) -> list[str]:
    """The host names of a certificate."""
    return one["names"] or [name]


def reloader(name: str) -> str:
    """The service that reloads what uses a certificate. Its name is no certificate's."""
    return f"reload-for-acme-{name}"


def chain_of(name: str) -> str:
    """The file of a certificate, with those that vouch for it."""
    return f"/var/lib/{STATE}/live/{name}/fullchain.pem"


def command(name: str, one: Mapping[str, Any], config: ConfigView) -> list[str]:
    """certbot, which does nothing where the certificate is good for long enough and has these names."""
    package, email = config["acme.package"], config["acme.email"]
    program = HOSTS_OWN if package in (None, "host") else f"{package}/bin/certbot"
    return [
        program,
        "certonly",
        "--non-interactive",
        "--agree-tos",
        f"--server={config['acme.server']}",
        *(["--register-unsafely-without-email"] if email is None else [f"--email={email}"]),
        f"--config-dir=/var/lib/{STATE}",
        f"--work-dir=/var/lib/{STATE}/work",
        f"--logs-dir=/var/log/{STATE}",
        "--key-type=ecdsa",
        "--keep-until-expiring",
        "--renew-with-new-domains",
        "--webroot",
        f"--webroot-path=/var/lib/{CHALLENGES}",
        f"--cert-name={name}",
        *(f"--domain={host}" for host in names_of(name, one)),
    ]


@module.defines("systemd.services")
def services(config: ConfigView) -> dict[str, object]:
    """Gets the certificate now, and looks after it whenever the timer says so."""
    return {
        f"acme-{name}": {
            "description": f"Certificate {name}",
            "after": ["network-online.target", "nginx.service", *(unit for unit in one["reload"] if unit != "nginx.service")],
            "wants": ["network-online.target", *([f"{reloader(name)}.service"] if one["reload"] else [])],
            "wanted_by": ["multi-user.target"],
            "service": {
                "Type": "oneshot",
                "ExecStart": command_line(command(name, one, config)),
                "StateDirectory": [STATE, CHALLENGES],
                "LogsDirectory": STATE,
                "UMask": "0022",
                "PrivateTmp": True,
                "ProtectSystem": "full",
                "ProtectHome": True,
                "NoNewPrivileges": True,
            },
        }
        for name, one in config["acme.certificates"].items()
    }


@module.defines("systemd.services")
def reloads(config: ConfigView) -> dict[str, object]:
    """Has services take up a new certificate: not by a hook of certbot, which sees no systemd of the host from its root."""
    return {
        reloader(name): {
            "description": f"Reload of what uses certificate {name}",
            "after": [f"acme-{name}.service"],
            "unit": {"ConditionPathExists": chain_of(name)},
            "service": {
                "Type": "oneshot",
                "ExecStart": command_line(
                    ["/bin/sh", "-c", RELOAD, "reload", chain_of(name), f"/var/lib/{RELOADED}/{name}", *one["reload"]]
                ),
                "StateDirectory": RELOADED,
            },
        }
        for name, one in config["acme.certificates"].items()
        if one["reload"]
    }


@module.defines("systemd.timers")
def timers(config: ConfigView) -> dict[str, object]:
    """When it looks again."""
    return {
        f"acme-{name}": {
            "wanted_by": ["timers.target"],
            "timer": {"OnCalendar": one["schedule"], "RandomizedDelaySec": f"{one['spread']:g}", "Persistent": True},
        }
        for name, one in config["acme.certificates"].items()
    }


@module.defines("services.nginx.sites")
def challenges(config: ConfigView) -> dict[str, object]:
    """Where the authority looks: below a site that is there already, or one that has nothing else."""
    made: dict[str, object] = {}
    for name, one in config["acme.certificates"].items() if config["services.nginx.package"] is not None else ():
        own = {"names": names_of(name, one), "check": None} if one["site"] is None else {}
        made[one["site"] or f"acme-{name}"] = {**own, "locations": {WELL_KNOWN: {"root": f"/var/lib/{CHALLENGES}"}}}
    return made


@module.defines("checks")
def got(config: ConfigView) -> dict[str, object]:
    """It is there, and somebody looks after it."""
    made: dict[str, object] = {}
    for name in config["acme.certificates"]:
        made[f"acme-{name}"] = {"kind": "file", "path": chain_of(name)}
        made[f"acme-{name}-timer"] = {"kind": "unit", "unit": f"acme-{name}.timer"}
    return made


@module.defines("requires.paths")
def program(config: ConfigView) -> dict[str, list[str]]:
    """What the host must bring."""
    names = [f"`acme.certificates.{name}`" for name in config["acme.certificates"]]
    return {HOSTS_OWN: names} if names and config["acme.package"] == "host" else {}


@module.asserts
def somebody_shows_the_challenges(config: ConfigView) -> Iterator[Fault]:
    """The authority asks port 80 of each name; and it wants its terms accepted."""
    certificates = config["acme.certificates"]
    if not certificates:
        return
    if not config["acme.accept_terms"]:
        remedy = "Read them, and add `acme: {accept_terms: true}`."
        yield Fault("the authority gives certificates to those who accept its terms of service", remedy, "acme.certificates")
    if config["acme.package"] is None:
        remedy = "Add `package: host`, or `package: ${pkgs.NAME}`."
        yield Fault("`acme` has certificates, and no `package` that gets them", remedy, "acme.certificates")
    if config["services.nginx.package"] is None:
        remedy = "Add `services: {nginx: {package: host}}`, or another package."
        message = "`acme` has certificates, and there is no nginx to show the authority that the names are yours"
        yield Fault(message, remedy, "acme.certificates")
        return
    for name, one in certificates.items():
        yield from wrong_site(name, one, config["services.nginx.sites"])


def wrong_site(name: str, one: Mapping[str, Any], sites: Mapping[str, Any]) -> Iterator[Fault]:
    """What keeps the authority from seeing what it asks for."""
    own, at = one["site"] or f"acme-{name}", f"acme.certificates.{name}"
    answers_to = {site: {*(of["names"] or [site])} for site, of in sites.items() if of["port"] == 80}
    if own not in answers_to:
        message = f"the site '{own}' of certificate '{name}' listens on port {sites[own]['port']}, and the authority asks port 80"
        yield Fault(message, "Name a site on port 80, or none.", f"{at}.site")
        return
    if missing := sorted({*names_of(name, one)} - answers_to[own]):
        message = f"the site '{own}' of certificate '{name}' does not answer to {', '.join(missing)}"
        yield Fault(message, "Add that to its `names`.", f"{at}.site")
    for other, names in answers_to.items():
        if one["site"] is None and other != own and (both := sorted({*names_of(name, one)} & names)):
            message = (
                f"the site '{other}' answers to {', '.join(both)} on port 80, and certificate '{name}' has a site of its own"
            )
            yield Fault(message, f"Write `site: {other}`.", at)
