"""HAProxy: connections from outside, shared out among those that answer them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import (
    ConfigView,
    Fault,
    Field,
    Module,
    Submodule,
    command_line,
    host_files,
    out_of_sight,
    program_of,
    reached_at,
    types,
)

module = Module("haproxy", "HAProxy: connections from outside, shared out among those that answer them.")

HOSTS_OWN = "/usr/sbin/haproxy"
CONFIGURATION = "haproxy-deployer/haproxy.cfg"
EVERYWHERE = "*"
ADDRESS = types.text("an address, or * for all", pattern=r"\*|[0-9.]+|[0-9A-Fa-f:]+")
PATH = types.text("an absolute path without blanks", pattern=r"/[^\s\"'\\#$]*")
SERVER = types.text("an address with a port such as 192.0.2.7:8000", pattern=r"[A-Za-z0-9._:-]+:[0-9]{1,5}|/[^\s\"'\\#$]+")
MODE = types.enumeration("http", "tcp")


def wrong_name(name: str) -> str:
    """What is wrong with the name of a frontend or backend; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", name) else "has only letters, digits, _ . -"


module.option(
    "services.haproxy.package",
    types.null_or(types.package_or_host),
    "Where HAProxy comes from: ${pkgs.NAME}, or host: the host's own, whose unit ours replaces. null: there is none.",
    default=None,
    example="host",
)
module.option(
    "services.haproxy.global_settings",
    types.string,
    "Lines of HAProxy's section `global`.",
    default="",
    example="maxconn 20000\n",
)
module.option(
    "services.haproxy.settings",
    types.string,
    "Lines of HAProxy's section `defaults`.",
    default="",
    example="timeout server 5m\n",
)
module.option(
    "services.haproxy.frontends",
    types.attributes_of(
        Submodule(
            {
                "mode": Field(MODE, "http: requests are read; tcp: bytes are passed on as they are.", "http"),
                "address": Field(ADDRESS, "The address on which it listens; *: all.", EVERYWHERE),
                "port": Field(types.port, "Where it listens."),
                "open": Field(types.boolean, "Whether the firewall lets others in.", True),
                "certificate": Field(
                    types.null_or(PATH),
                    "A file on the host: the certificate, those above it and its key. Then it speaks TLS.",
                    None,
                ),
                "backend": Field(types.word, "The backend that answers, unless `settings` say another."),
                "settings": Field(
                    types.string, "Lines of HAProxy's configuration.", "", "use_backend api if { path_beg /api/ }\n"
                ),
                "check": Field(
                    types.null_or(PATH),
                    "http: the path that must answer well before a generation is confirmed; null: none.",
                    "/",
                ),
            },
            "a mapping that describes a frontend",
        ),
        wrong_name,
    ),
    "Where connections come in, by name. HAProxy must accept its configuration before anything changes, and reloads: no "
    "connection breaks.",
    default={},
    example={"web": {"port": 80, "backend": "app"}},
)
module.option(
    "services.haproxy.backends",
    types.attributes_of(
        Submodule(
            {
                "mode": Field(MODE, "As that of the frontends that use it.", "http"),
                "servers": Field(types.list_of(SERVER), "Who answers, in turn: those that do not are left out until they do."),
                "check": Field(
                    types.null_or(PATH), "http: the path by which each is probed; null: a connection is enough.", None
                ),
                "settings": Field(types.string, "Lines of HAProxy's configuration.", "", "balance leastconn\n"),
            },
            "a mapping that describes a backend",
        ),
        wrong_name,
    ),
    "Who answers, by name.",
    default={},
    example={"app": {"servers": ["192.0.2.7:8000", "192.0.2.8:8000"], "check": "/health"}},
)

AS_USER = {"User": "haproxy", "AmbientCapabilities": "CAP_NET_BIND_SERVICE", "RuntimeDirectory": "haproxy"}
"""Where systemd starts it as the user that it would become: there, /run/haproxy is where it may have sockets."""
TIMES = ("timeout connect 5s", "timeout client 1m", "timeout server 1m")
"""Without them HAProxy keeps what hangs for ever."""


def frontend(one: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a frontend."""
    secure = f" ssl crt {one['certificate']}" if one["certificate"] is not None else ""
    addresses = ("*", "::") if one["address"] == EVERYWHERE else (one["address"],)
    yield f"mode {one['mode']}"
    for address in addresses:
        yield f"bind {address}:{one['port']}{' v6only' if address == '::' and len(addresses) > 1 else ''}{secure}"
    if one["mode"] == "http":
        yield "option forwardfor"
    yield from one["settings"].splitlines()
    yield f"default_backend {one['backend']}"


def backend(one: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a backend."""
    yield f"mode {one['mode']}"
    if one["check"] is not None:
        yield f"option httpchk GET {one['check']}"
    yield from one["settings"].splitlines()
    for number, server in enumerate(one["servers"], 1):
        yield f"server server{number} {server} check"


def section(title: str, lines: Iterator[str] | list[str]) -> str:
    """A section of the configuration."""
    return f"{title}\n" + "".join(f"  {line.strip()}\n" for line in lines)


def wanted(config: ConfigView) -> bool:
    """Whether there is a HAProxy."""
    return config["services.haproxy.package"] is not None


def program(config: ConfigView) -> str:
    """Where it is."""
    return program_of(config, config["services.haproxy.package"], of_debian=HOSTS_OWN, own="bin/haproxy")


def has_root(config: ConfigView) -> bool:
    """Whether it has the tree of its package as its root."""
    return config.is_tree(config["services.haproxy.package"])


def named_files(config: ConfigView) -> Iterator[tuple[str, str]]:
    """The files of the host that frontends and backends name, after the option that does."""
    for name, one in config["services.haproxy.frontends"].items():
        if one["certificate"] is not None:
            yield f"services.haproxy.frontends.{name}.certificate", one["certificate"]
    for name, one in config["services.haproxy.backends"].items():
        yield from ((f"services.haproxy.backends.{name}.servers", server) for server in one["servers"] if server[0] == "/")


@module.defines("etc")
def configuration(config: ConfigView) -> dict[str, object]:
    """All of it in one file, which HAProxy itself judges.

    The host's own reads certificates as root, and then becomes the user whom its package has made. Where we make that user,
    there is none yet when the file is judged: then systemd starts it as that user.
    """
    if not wanted(config):
        return {}
    become = ["user haproxy", "group haproxy"] if config["services.haproxy.package"] == "host" else []
    own = ["log stderr format short daemon", *become]
    text = "\n".join(
        [
            section("global", [*own, *config["services.haproxy.global_settings"].splitlines()]),
            section("defaults", [*TIMES, *config["services.haproxy.settings"].splitlines()]),
            *(section(f"frontend {name}", frontend(one)) for name, one in sorted(config["services.haproxy.frontends"].items())),
            *(section(f"backend {name}", backend(one)) for name, one in sorted(config["services.haproxy.backends"].items())),
        ]
    )
    return {CONFIGURATION: {"text": text, "validate": [program(config), "-c", "-q", "-f", "{file}"]}}


def reloading(config: ConfigView, run: list[str]) -> dict[str, object]:
    """How it takes up its configuration. kill is the host's: what sees a root starts nothing else there.

    By then the configuration has been judged, and where HAProxy could not take it up, what ran before would run on.
    """
    kill = "/bin/kill -USR2 $MAINPID"
    if not has_root(config):
        return {"ExecReload": [command_line([*run, "-c", "-q"]), kill]}
    return {"ExecReload": kill, "RootDirectoryStartOnly": True, **host_files(path for _, path in named_files(config))}


@module.defines("systemd.services")
def service(config: ConfigView) -> dict[str, object]:
    """The proxy; in place of the distribution's own unit, where that has one. Old connections end with the old process."""
    if not wanted(config):
        return {}
    run = [program(config), "-f", f"/etc/{CONFIGURATION}"]
    own = config["services.haproxy.package"] == "host"
    return {
        "haproxy": {
            "description": "Load balancer",
            "after": ["network-online.target"],
            "wants": ["network-online.target"],
            "wanted_by": ["multi-user.target"],
            "reload_on_change": True,
            "check": True,
            "service": {
                "Type": "notify",
                **({} if own else AS_USER),
                "ExecStart": command_line([*run, "-Ws"]),
                **reloading(config, run),
                "KillMode": "mixed",
                "SuccessExitStatus": 143,
                "Restart": "on-failure",
                "PrivateTmp": True,
                "ProtectSystem": "full",
                "ProtectHome": True,
                "NoNewPrivileges": True,
            },
        }
    }


@module.package_or_host("services.haproxy", users={"haproxy": {"description": "HAProxy"}}, unit="haproxy")
def hosts_programs(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [HOSTS_OWN]


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Where frontends listen."""
    if not wanted(config):
        return {}
    return {
        f"haproxy-{name}": {
            "port": one["port"],
            "address": "" if one["address"] == EVERYWHERE else one["address"],
            "open": one["open"],
            "option": f"services.haproxy.frontends.{name}.port",
        }
        for name, one in config["services.haproxy.frontends"].items()
    }


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """Somebody answers behind each frontend."""
    made: dict[str, object] = {}
    for name, one in config["services.haproxy.frontends"].items() if wanted(config) else ():
        address = reached_at(one["address"])
        if one["mode"] == "tcp":
            made[f"haproxy-{name}"] = {"kind": "tcp", "address": address, "port": one["port"]}
        elif one["check"] is not None:
            secure, host = one["certificate"] is not None, f"[{address}]" if ":" in address else address
            url = f"http{'s' if secure else ''}://{host}:{one['port']}{one['check']}"
            made[f"haproxy-{name}"] = {"kind": "http", "url": url, "status": ["200-399"]} | ({"verify": False} if secure else {})
    return made


@module.asserts
def somebody_answers(config: ConfigView) -> Iterator[Fault]:
    """Frontends have a HAProxy, and a backend of their kind with servers."""
    frontends, backends = config["services.haproxy.frontends"], config["services.haproxy.backends"]
    if frontends and not wanted(config):
        remedy = "Add `package: host`, or `package: ${pkgs.NAME}`."
        yield Fault("`services.haproxy` has frontends, and no `package` that serves them", remedy, "services.haproxy.frontends")
    for name, one in frontends.items():
        at = f"services.haproxy.frontends.{name}.backend"
        if one["backend"] not in backends:
            message = f"frontend '{name}' sends to the backend '{one['backend']}', which is not declared"
            yield Fault(message, f"Add `services.haproxy.backends.{one['backend']}`.", at)
        elif backends[one["backend"]]["mode"] != one["mode"]:
            message = f"frontend '{name}' has the mode {one['mode']}, and its backend '{one['backend']}' another"
            yield Fault(message, f"Add `mode: {one['mode']}` to the backend.", at)
    for name, one in backends.items():
        if not one["servers"]:
            at = f"services.haproxy.backends.{name}.servers"
            yield Fault(f"backend '{name}' has no servers", "Name one, such as 127.0.0.1:8000.", at)
        if one["check"] is not None and one["mode"] == "tcp":
            at = f"services.haproxy.backends.{name}.check"
            yield Fault(f"backend '{name}' has the mode tcp, and a `check` that asks by HTTP", "Remove one of the two.", at)


@module.asserts
def files_are_seen(config: ConfigView) -> Iterator[Fault]:
    """In a root, /usr is the tree's, and what the tree has no place for can't be shown."""
    for option, path in named_files(config) if has_root(config) else ():
        if remedy := out_of_sight(path):
            yield Fault(f"HAProxy does not see {path}: its root is the tree of its package", remedy, option)
