"""The firewall: what is not let in by name stays out."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("firewall", "The firewall: what is not let in by name stays out.")

NFT = "/usr/sbin/nft"
RULES = "firewall/rules.nft"
WAY_IN = "/var/lib/deployer/way-in*.nft"
"""Where the host writes down the address and port by which the controller came."""

module.option(
    "firewall",
    Submodule(
        {
            "enable": Field(types.boolean, "Whether there is one.", False),
            "ping": Field(types.boolean, "Whether the host answers to pings.", True),
            "trusted_interfaces": Field(
                types.list_of(types.name), "Network interfaces from which everything is let in.", [], ["wg0"]
            ),
            "log_refused": Field(
                types.boolean, "Whether the kernel's log has what is refused, ten lines a minute at most.", False
            ),
            "rules": Field(types.string, "Lines of nft(8) for the end of the input chain.", "", "ip saddr 192.0.2.7 accept\n"),
        },
        "a mapping that describes the firewall",
    ),
    "Which connections are let in: those to `ports` that are open, what belongs to connections of the host's own, and, whatever "
    "else is said, the controller by the address and port by which it comes. Rules of others in the kernel are left alone.",
    default={},
    example={"enable": True, "log_refused": True},
)

TABLE = """\
table inet deployer
delete table inet deployer
table inet deployer {{
  set controllers4 {{
    type ipv4_addr . inet_service
  }}
  set controllers6 {{
    type ipv6_addr . inet_service
  }}
  chain input {{
    type filter hook input priority 0; policy drop;
    iif lo accept
    ip saddr . tcp dport @controllers4 accept
    ip6 saddr . tcp dport @controllers6 accept
    ct state established,related accept
    ct state invalid drop
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, packet-too-big, time-exceeded }} accept
    icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept
{accepted}  }}
}}
include "{way_in}"
"""


def accepted(firewall: Mapping[str, Any], ports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines that let others in, and those that say what becomes of the rest."""
    if firewall["ping"]:
        yield "icmp type echo-request accept"
        yield "icmpv6 type echo-request accept"
    for interface in firewall["trusted_interfaces"]:
        yield f'iifname "{interface}" accept'
    for _, one in sorted(ports.items()):
        if one["open"]:
            yield from opened(one)
    yield from firewall["rules"].splitlines()
    if firewall["log_refused"]:
        yield 'limit rate 10/minute log prefix "refused: "'


def opened(port: Mapping[str, Any]) -> Iterator[str]:
    """The lines that let others in to one port."""
    rule = f"{port['protocol']} dport {port['port']} accept"
    for family, word in ((4, "ip"), (6, "ip6")):
        sources = [one for one in port["sources"] if ipaddress.ip_network(one, strict=False).version == family]
        if sources:
            yield f"{word} saddr {{ {', '.join(sources)} }} {rule}"
    if not port["sources"]:
        yield rule


@module.defines("etc")
def rules(config: ConfigView) -> dict[str, object]:
    """The rules, which the host's own nft must accept before anything changes."""
    firewall = config["firewall"]
    if not firewall["enable"]:
        return {}
    lines = "".join(f"    {line}\n" for line in accepted(firewall, config["ports"]))
    text = TABLE.format(accepted=lines, way_in=WAY_IN)
    return {RULES: {"text": text, "validate": [NFT, "-c", "-f", "{file}"]}}


@module.defines("systemd.services")
def loading(config: ConfigView) -> dict[str, object]:
    """Loads all rules in one step, before the network is up; a change replaces them in one step."""
    if not config["firewall"]["enable"]:
        return {}
    load = f"{NFT} -f /etc/{RULES}"
    return {
        "firewall": {
            "description": "Firewall",
            "before": ["network-pre.target"],
            "wants": ["network-pre.target"],
            "wanted_by": ["multi-user.target"],
            "reload_on_change": True,
            "check": True,
            "service": {
                "Type": "oneshot",
                "RemainAfterExit": True,
                "ExecStart": load,
                "ExecReload": load,
                "ExecStop": f"{NFT} delete table inet deployer",
            },
        }
    }


@module.defines("requires.paths")
def program(config: ConfigView) -> dict[str, list[str]]:
    """The kernel's rules are set by the host's own nft."""
    return {NFT: ["the firewall"]} if config["firewall"]["enable"] else {}


@module.asserts
def sources_are_networks(config: ConfigView) -> Iterator[Fault]:
    """Who may come in is an address or a network."""
    for name, port in config["ports"].items():
        for source in port["sources"]:
            try:
                ipaddress.ip_network(source, strict=False)
            except ValueError:
                message = f"port '{name}': {source!r} is no address and no network"
                yield Fault(message, "Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.", port["option"] or f"ports.{name}.sources")


@module.asserts
def own_rules_stay_in_their_chain(config: ConfigView) -> Iterator[Fault]:
    """Lines of the user's end where our chain does."""
    text = re.sub(r'"[^"\n]*"|#.*', "", config["firewall"]["rules"])
    depth = 0
    for letter in text:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            break
    if depth != 0:
        yield Fault("the braces in `firewall.rules` do not match", "Close each { with one }.", "firewall.rules")
