"""Web applications of one's own: a user, a service, and, where it is asked for, a socket that never closes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, quoted, reached_at, types

module = Module("applications", "Web applications of one's own: a user, a service, and a socket that never closes.")


def wrong_name(name: str) -> str:
    """What is wrong with the name of an application; empty: nothing. Its user has the same."""
    return "" if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", name) else "starts with a letter or _ and has only a-z 0-9 _ -"


def wrong_variable(name: str) -> str:
    """What is wrong with a variable's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "has only letters, digits and _"


module.option(
    "applications",
    types.attributes_of(
        Submodule(
            {
                "description": Field(types.line, "One line for people.", ""),
                "command": Field(types.list_of(types.string), "Program and arguments, each letter for letter."),
                "port": Field(types.port, "Where it listens."),
                "address": Field(types.word, "The address on which it listens.", "127.0.0.1"),
                "open": Field(types.boolean, "Whether the firewall lets others in.", False),
                "socket": Field(
                    types.boolean,
                    "Whether systemd listens and hands the socket over (sd_listen_fds(3)): it stays open in a restart.",
                    False,
                ),
                "environment": Field(
                    types.attributes_of(types.line, wrong_variable), "Variables. No secrets: everybody can read them.", {}
                ),
                "environment_file": Field(
                    types.null_or(types.absolute_path), "A file on the host with more, such as secrets.", None
                ),
                "after": Field(
                    types.list_of(types.word), "Units that it needs, and that start before it.", [], ["redis-server.service"]
                ),
                "memory_max": Field(types.null_or(types.size), "Bytes that it may use; null: any.", None, "512M"),
                "check": Field(
                    types.null_or(types.text("a path", pattern=r"/[^\s]*")),
                    "The path that must answer with 200 before a generation is confirmed; null: none.",
                    "/",
                ),
                "service": Field(types.attributes_of(types.OneOrMany(types.setting)), "More directives of [Service].", {}),
            },
            "a mapping that describes an application",
        ),
        wrong_name,
    ),
    "Web applications, by name. Each runs as a user of its own name, and finds its data in /var/lib/NAME, which stays whatever "
    "becomes of it.",
    default={},
    example={"notes": {"command": ["${pkgs.notes}/bin/notes"], "port": 8000, "socket": True, "check": "/health"}},
)


def service_of(name: str, one: Mapping[str, Any]) -> dict[str, object]:
    """What runs."""
    own: dict[str, object] = {
        "ExecStart": command_line(one["command"]),
        "User": name,
        "Restart": "on-failure",
        "StateDirectory": name,
        "NoNewPrivileges": True,
        "PrivateTmp": True,
        "ProtectSystem": "strict",
        "ProtectHome": True,
    }
    if one["environment"]:
        own["Environment"] = [quoted(f"{key}={value}") for key, value in sorted(one["environment"].items())]
    if one["environment_file"] is not None:
        own["EnvironmentFile"] = one["environment_file"]
    if one["memory_max"] is not None:
        own["MemoryMax"] = one["memory_max"]
    needs = [f"{name}.socket"] if one["socket"] else []
    return {
        "description": one["description"] or f"Application {name}",
        "after": ["network.target", *needs, *one["after"]],
        "wants": one["after"],
        "requires": needs,
        "wanted_by": ["multi-user.target"],
        "check": True,
        "service": own | one["service"],
    }


@module.defines("systemd.services")
def services(config: ConfigView) -> dict[str, object]:
    """What runs."""
    return {name: service_of(name, one) for name, one in config["applications"].items()}


@module.defines("systemd.sockets")
def sockets(config: ConfigView) -> dict[str, object]:
    """Where systemd listens for it."""
    made: dict[str, object] = {}
    for name, one in config["applications"].items():
        if one["socket"]:
            address = f"[{one['address']}]" if ":" in one["address"] else one["address"]
            made[name] = {"wanted_by": ["sockets.target"], "socket": {"ListenStream": f"{address}:{one['port']}"}}
    return made


@module.defines("users")
def users(config: ConfigView) -> dict[str, object]:
    """As whom it runs."""
    return {name: {"description": f"Application {name}"} for name in config["applications"]}


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Where it listens."""
    return {
        name: {"port": one["port"], "address": one["address"], "open": one["open"], "option": f"applications.{name}.port"}
        for name, one in config["applications"].items()
    }


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """It answers."""
    made: dict[str, object] = {}
    for name, one in config["applications"].items():
        if one["check"] is not None:
            address = reached_at(one["address"])
            host = f"[{address}]" if ":" in address else address
            made[name] = {"kind": "http", "url": f"http://{host}:{one['port']}{one['check']}"}
    return made


@module.asserts
def applications_can_run(config: ConfigView) -> Iterator[Fault]:
    """Each has a program, and no user of another's."""
    for name, one in config["applications"].items():
        if not one["command"] or not one["command"][0].startswith("/"):
            remedy = "Begin `command` with an absolute path, or with ${pkgs.NAME}/bin/PROGRAM."
            yield Fault(f"application '{name}' names no program by an absolute path", remedy, f"applications.{name}.command")
