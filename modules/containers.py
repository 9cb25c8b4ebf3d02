"""Containers: images of others, each run by podman as a service of systemd's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, types

module = Module("containers", "Containers: images of others, each run by podman as a service of systemd's.")

HOSTS_OWN = "/usr/bin/podman"
IMAGE = types.text(
    "an image with its digest, such as docker.io/library/redis@sha256: and 64 digits",
    pattern=r"[a-z0-9][A-Za-z0-9._:/-]{0,250}@sha256:[0-9a-f]{64}",
)
PATH = types.text("an absolute path without blanks, : and ,", pattern=r"/[^\s:,]+")
USER = types.text("a name or number, or two with : between", pattern=r"[A-Za-z0-9_.-]+(?::[A-Za-z0-9_.-]+)?")
STOPPING = 10
"""Seconds that a container has to end by itself."""


def wrong_name(name: str) -> str:
    """What is wrong with a name; empty: nothing."""
    return "" if re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,60}", name) else "has only a-z, digits and _ . -"


def wrong_variable(name: str) -> str:
    """What is wrong with a variable's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "has only letters, digits and _"


PORT = Submodule(
    {
        "port": Field(types.port, "The number on the host."),
        "container": Field(types.null_or(types.port), "The number in the container; null: the same.", None),
        "protocol": Field(types.enumeration("tcp", "udp"), "Of which kind.", "tcp"),
        "open": Field(
            types.boolean, "Whether others are let in, by the firewall too; otherwise only the host itself comes in.", False
        ),
        "check": Field(
            types.null_or(types.text("a path", pattern=r"/[^\s]*")),
            "The path that must answer with 200 before a generation is confirmed; null: a connection is enough.",
            None,
        ),
    },
    "a mapping that describes a port",
)

module.option(
    "containers",
    types.attributes_of(
        Submodule(
            {
                "package": Field(
                    types.package_or_host, "Where podman comes from: ${pkgs.NAME}, or host: the host's own.", example="host"
                ),
                "image": Field(IMAGE, "The image, by digest: what runs is the same everywhere and always."),
                "description": Field(types.line, "One line for people.", ""),
                "command": Field(types.list_of(types.string), "Program and arguments; empty: those of the image.", []),
                "environment": Field(
                    types.attributes_of(types.line, wrong_variable), "Variables. No secrets: everybody can read them.", {}
                ),
                "environment_file": Field(types.null_or(PATH), "A file on the host with more, such as secrets.", None),
                "user": Field(
                    types.null_or(USER),
                    "As whom it runs in the container; null: as the image says.",
                    None,
                ),
                "ports": Field(types.attributes_of(PORT, wrong_name), "Ports at which it is reached, by name.", {}),
                "volumes": Field(
                    types.attributes_of(PATH, wrong_name),
                    "Where in the container its state directories are, by their names below /var/lib/container-NAME.",
                    {},
                    {"data": "/var/lib/app"},
                ),
                "memory_max": Field(types.null_or(types.size), "Bytes that it may use; null: any.", None, "512M"),
                "after": Field(types.list_of(types.word), "Units that it needs, and that start before it.", []),
                "options": Field(
                    types.list_of(types.string), "More options of podman-run(1).", [], ["--cap-drop=all", "--read-only"]
                ),
                "service": Field(types.attributes_of(types.OneOrMany(types.setting)), "More directives of [Service].", {}),
            },
            "a mapping that describes a container",
        ),
        wrong_name,
    ),
    "Containers, by name: each is a service `container-NAME`. podman fetches an image that the host does not have when the "
    "service starts, within `activation.unit_timeout`. State directories stay whatever becomes of the container.",
    default={},
    example={"web": {"package": "host", "image": f"docker.io/nginx@sha256:{'1f' * 32}", "ports": {"web": {"port": 80}}}},
)


def program_of(one: Mapping[str, Any]) -> str:
    """Where podman is."""
    return HOSTS_OWN if one["package"] == "host" else f"{one['package']}/bin/podman"


def published(port: Mapping[str, Any]) -> str:
    """A port as `--publish` has it. podman's own rules are asked before the firewall: what is not open has an address."""
    address = "" if port["open"] else "127.0.0.1:"
    return f"{address}{port['port']}:{port['container'] or port['port']}/{port['protocol']}"


def command(name: str, one: Mapping[str, Any]) -> list[str]:
    """What runs it: conmon tells systemd when it has started, and is the service's main process."""
    return [
        program_of(one),
        "run",
        f"--name={name}",
        "--replace",
        "--rm",
        "--detach",
        "--sdnotify=conmon",
        "--cgroups=split",
        "--log-driver=journald",
        *(f"--env={key}={value}" for key, value in sorted(one["environment"].items())),
        *([f"--env-file={one['environment_file']}"] if one["environment_file"] is not None else []),
        *([f"--user={one['user']}"] if one["user"] is not None else []),
        *(f"--publish={published(port)}" for _, port in sorted(one["ports"].items())),
        *(f"--volume=/var/lib/container-{name}/{of}:{place}:Z" for of, place in sorted(one["volumes"].items())),
        *one["options"],
        one["image"],
        *one["command"],
    ]


def service_of(name: str, one: Mapping[str, Any]) -> dict[str, object]:
    """The service of a container."""
    own: dict[str, object] = {
        "Type": "notify",
        "NotifyAccess": "all",
        "Environment": "PODMAN_SYSTEMD_UNIT=%n",
        "ExecStart": command_line(command(name, one)),
        "ExecStop": command_line([program_of(one), "stop", "--ignore", f"--time={STOPPING}", name]),
        "ExecStopPost": command_line([program_of(one), "rm", "--force", "--ignore", name]),
        "Delegate": True,
        "KillMode": "mixed",
        "TimeoutStopSec": STOPPING * 3,
        "Restart": "on-failure",
    }
    if one["volumes"]:
        own["StateDirectory"] = [f"container-{name}/{of}" for of in sorted(one["volumes"])]
    if one["memory_max"] is not None:
        own["MemoryMax"] = one["memory_max"]
    return {
        "description": one["description"] or f"Container {name}",
        "after": ["network-online.target", *one["after"]],
        "wants": ["network-online.target", *one["after"]],
        "wanted_by": ["multi-user.target"],
        "check": True,
        "service": own | one["service"],
    }


@module.defines("systemd.services")
def services(config: ConfigView) -> dict[str, object]:
    """What runs."""
    return {f"container-{name}": service_of(name, one) for name, one in config["containers"].items()}


@module.defines("requires.paths")
def programs(config: ConfigView) -> dict[str, list[str]]:
    """What the host must bring."""
    names = [f"`containers.{name}`" for name, one in config["containers"].items() if one["package"] == "host"]
    return {HOSTS_OWN: names} if names else {}


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Where they are reached."""
    return {
        f"container-{name}-{of}": {
            "port": port["port"],
            "protocol": port["protocol"],
            "address": "" if port["open"] else "127.0.0.1",
            "open": port["open"],
            "option": f"containers.{name}.ports.{of}.port",
        }
        for name, one in config["containers"].items()
        for of, port in one["ports"].items()
    }


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """It is reached where it should be."""
    made: dict[str, object] = {}
    for name, one in config["containers"].items():
        for of, port in one["ports"].items():
            if port["check"] is not None:
                made[f"container-{name}-{of}"] = {"kind": "http", "url": f"http://127.0.0.1:{port['port']}{port['check']}"}
            elif port["protocol"] == "tcp":
                made[f"container-{name}-{of}"] = {"kind": "tcp", "port": port["port"]}
    return made


@module.asserts
def options_are_options(config: ConfigView) -> Iterator[Fault]:
    """What is no option would be taken for the image; and what asks by HTTP needs TCP."""
    for name, one in config["containers"].items():
        for option in one["options"]:
            if not option.startswith("--"):
                message = f"container '{name}': '{option}' is no option of podman-run(1)"
                yield Fault(message, "Write it as one word, such as --cap-drop=all.", f"containers.{name}.options")
        for of, port in one["ports"].items():
            if port["check"] is not None and port["protocol"] == "udp":
                message = f"container '{name}': its port '{of}' is of udp, and has a `check` that asks by HTTP"
                yield Fault(message, "Remove one of the two.", f"containers.{name}.ports.{of}.check")
