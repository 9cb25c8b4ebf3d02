"""What host names mean: /etc/hosts and the resolver."""

import ipaddress
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("names", "What host names mean: /etc/hosts and the resolver.")


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def wrong_address(text: str) -> str:
    """What is wrong with an address; empty: nothing."""
    return "" if is_address(text) else "is an IP address"


HOST_NAME = types.text("a host name", pattern=r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
ADDRESS = types.Scalar("an IP address", lambda value: isinstance(value, str) and is_address(value), {"type": "string"})

module.option(
    "hosts",
    types.attributes_of(types.list_of(HOST_NAME), wrong_address),
    "Names by address, for /etc/hosts. The host's own file is kept, and returns when nothing is declared any more; the names of "
    "`localhost` are always there.",
    default={},
    example={"127.0.1.1": ["${host.name}"], "192.0.2.20": ["db1", "db1.example.org"]},
)

module.option(
    "resolver",
    Submodule(
        {
            "servers": Field(types.ListOf(ADDRESS, unique=True), "Whom to ask, at most three.", [], ["192.0.2.53"]),
            "search": Field(types.ListOf(HOST_NAME, unique=True), "Domains in which short names are looked for.", []),
            "options": Field(
                types.list_of(types.text("an option of resolv.conf(5)", pattern=r"[a-z0-9:-]+")), "More.", [], ["timeout:1"]
            ),
        },
        "a mapping that describes the resolver",
    ),
    "Who resolves names, for /etc/resolv.conf. Without `servers` the host's own file stays.",
    default={},
    example={"servers": ["192.0.2.53"], "search": ["example.org"]},
)

LOCAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"


@module.defines("etc")
def hosts_file(config: ConfigView) -> dict[str, object]:
    """/etc/hosts."""
    hosts = config["hosts"]
    if not hosts:
        return {}
    lines = "".join(f"{address} {' '.join(names)}\n" for address, names in sorted(hosts.items()) if names)
    return {"hosts": {"text": LOCAL + lines, "kind": "file", "replace": True}}


@module.defines("etc")
def resolver_file(config: ConfigView) -> dict[str, object]:
    """/etc/resolv.conf."""
    resolver = config["resolver"]
    if not resolver["servers"]:
        return {}
    lines = [f"nameserver {server}" for server in resolver["servers"]]
    lines += [f"{word} {' '.join(resolver[word])}" for word in ("search", "options") if resolver[word]]
    return {"resolv.conf": {"text": "".join(f"{line}\n" for line in lines), "kind": "file", "replace": True}}


@module.asserts
def the_resolver_can_be_asked(config: ConfigView) -> Iterator[Fault]:
    """The C library asks three servers and no more, and needs one."""
    resolver = config["resolver"]
    if len(resolver["servers"]) > 3:
        message = f"`resolver.servers` names {len(resolver['servers'])}, and the C library asks the first three only"
        yield Fault(message, "Keep three.", "resolver.servers")
    if not resolver["servers"] and (resolver["search"] or resolver["options"]):
        yield Fault("`resolver` says how to ask, and not whom", "Add `servers`.", "resolver")
