"""Which program listens on which port: no two may have the same, and those that say so are open to others."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("ports", "Which program listens on which port: no two may have the same, and some are open to others.")

EVERYWHERE = ("", "0.0.0.0", "::", "*")
LISTENS = re.compile(r"(?:(?P<address>[0-9.]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})")
NETWORK = types.text("an address, or a network such as 192.0.2.0/24", pattern=r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?")

module.option(
    "ports",
    types.attributes_of(
        Submodule(
            {
                "port": Field(types.port, "The number."),
                "protocol": Field(types.enumeration("tcp", "udp"), "Of which kind.", "tcp"),
                "address": Field(types.line, "The address on which it listens; empty: all.", "", "127.0.0.1"),
                "open": Field(types.boolean, "Whether the firewall lets others in.", False),
                "sources": Field(types.list_of(NETWORK), "Who may come in where it is open; empty: everybody.", []),
                "option": Field(types.line, "The option that says so, for messages; empty: this one.", ""),
            },
            "a mapping that describes a port",
        )
    ),
    "Ports on which programs of the host listen, by program. Services of the library add theirs.",
    default={},
    example={"hello": {"port": 8080, "open": True}},
)


def of_socket(listens: object) -> Iterator[tuple[int, str]]:
    """Port and address of each line of a socket unit that names a port."""
    for line in listens if isinstance(listens, list) else [listens]:
        match = LISTENS.fullmatch(str(line))
        if match is not None:
            yield int(match["port"]), (match["address"] or "").strip("[]")


def claims(config: ConfigView) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every program with a port: those that are declared, and sockets of systemd's that are not."""
    declared = config["ports"]
    yield from declared.items()
    for name, unit in config["systemd.sockets"].items():
        for directive, protocol in (("ListenStream", "tcp"), ("ListenDatagram", "udp")):
            for port, address in of_socket(unit["socket"].get(directive, [])):
                if name not in declared:
                    option = f"systemd.sockets.{name}.socket.{directive}"
                    yield name, {"port": port, "protocol": protocol, "address": address, "option": option}


@module.asserts
def each_port_has_one_program(config: ConfigView) -> Iterator[Fault]:
    """Two programs can't listen on one port."""
    taken: dict[tuple[int, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for name, one in claims(config):
        others = taken.setdefault((one["port"], one["protocol"]), [])
        for other, its in others:
            if one["address"] == its["address"] or one["address"] in EVERYWHERE or its["address"] in EVERYWHERE:
                yield Fault(
                    f"'{other}' and '{name}' both listen on {one['protocol']} port {one['port']}",
                    "Give one of them another port.",
                    one["option"] or f"ports.{name}",
                    its["option"] or f"ports.{other}",
                )
                break
        others.append((name, one))
