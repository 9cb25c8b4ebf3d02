"""Services that see a package's root tree in place of the host's programs and libraries."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Module, types

module = Module("roots", "Services that see a package's root tree in place of the host's programs and libraries.")

PLAIN_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")

module.option(
    "systemd.roots",
    types.attributes_of(
        types.absolute_path, lambda name: "" if PLAIN_NAME.fullmatch(name) else "is a service's name, without .service"
    ),
    "Root trees of services, by service: packages of kind `debian`. The service sees the tree's /usr and not the host's; of /etc "
    "what is the tree's, who and where the host is, and the declared entries that its directives name. /var, /run and /tmp are "
    "empty but for its StateDirectory and kin, and what its BindPaths and BindReadOnlyPaths have there.",
    default={},
    example={"redis": "${pkgs.redis}"},
)

STORE = "/nix/store"
PROFILE = "/var/lib/deployer/profile"
OF_THE_HOST = ("passwd", "group", "hosts", "hostname", "resolv.conf", "localtime", "machine-id")
"""Names in /etc: who and where the host is."""
OF_THE_TREE = (
    "nsswitch.conf",
    "alternatives",
    "ssl",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "services",
    "protocols",
    "mime.types",
    "os-release",
    "localtime",
    "fonts",
    "default",
    "security",
    "pam.d",
    "perl",
    "python3",
)
"""Names in /etc that programs and libraries look for; those of the service's own package are found by its directives."""
TOPS = re.compile("s?bin|boot|dev|etc|home|lib(32|64|x32)?|media|mnt|nix|opt|proc|root|run|srv|sys|tmp|usr|var|")
"""What a tree may have at its top."""
EMPTY = frozenset({"home", "mnt", "srv"})
"""Mount points in which no package has anything."""
SOCKETS = ("/run/systemd/notify", "/run/systemd/journal/socket", "/run/systemd/journal/stdout", "/dev/log")


def named_in_etc(directives: Mapping[str, Any]) -> set[str]:
    """Top names of /etc that directives mention."""
    values = [item for value in directives.values() for item in (value if isinstance(value, list) else [value])]
    return {name for value in values for name in re.findall(r"/etc/([A-Za-z0-9_][A-Za-z0-9_.-]*)", str(value))}


def bound(directives: Mapping[str, Any]) -> set[str]:
    """Where directives show the host's own files."""
    values = [directives.get(name, []) for name in ("BindPaths", "BindReadOnlyPaths")]
    words = [word for value in values for item in (value if isinstance(value, list) else [value]) for word in str(item).split()]
    return {(word.lstrip("-").split(":") * 2)[1] for word in words}


def lacks(path: str, shown: set[str]) -> bool:
    """Whether no tree has a place where something could be mounted so. `shown`: where else the host's files are."""
    before, top, *deeper = [*path.split("/"), ""]
    if before or "%" in path:  # what systemd puts in for a specifier is not known here
        return False
    is_below_shown = any(path.startswith(f"{other}/") for other in shown)
    return not is_below_shown and (TOPS.fullmatch(top) is None or (top in EMPTY and any(deeper)))


def isolated(root: str, directives: Mapping[str, Any], declared: set[str]) -> str:
    """The drop-in that gives a service its root."""
    named, shown = named_in_etc(directives), bound(directives)
    has_locale = "LANG=" in str(directives.get("Environment", ""))
    ours = named | {*OF_THE_TREE, *OF_THE_HOST} if "/etc" not in shown else set()
    ours -= {path.removeprefix("/etc/") for path in shown}
    of_tree = sorted(ours - declared - {*OF_THE_HOST})
    of_host = sorted(ours & ({*OF_THE_HOST} | named & declared))
    is_full = directives.get("ProtectSystem") == "full"
    in_memory = [path for path in ("/etc", "/var", "/run") if path not in shown]
    if "/run" in shown:
        # There systemd tells what the host is; one that is a container has that read-only itself.
        in_memory.append("/run/host")
    lines = [
        f"RootDirectory={root}",
        "MountAPIVFS=yes",
        "PrivateTmp=yes",
        # The host's own locale may not be in the tree; this one is everywhere.
        *([] if has_locale else ["Environment=LANG=C"]),
        # `full` would have systemd take the tree's own /etc, not the one in memory, and make places in it: in the store.
        *(["ProtectSystem=yes"] if is_full else []),
        # What is mounted below a read-only tree needs a place there: in memory, there is one for everything.
        f"TemporaryFileSystem={' '.join(in_memory)}",
        f"BindReadOnlyPaths={STORE}",
        f"BindReadOnlyPaths=-{PROFILE}",
        *(f"BindReadOnlyPaths=-{root}/etc/{name}:/etc/{name}" for name in of_tree),
        *(f"BindReadOnlyPaths=-/etc/{name}" for name in of_host),
        *(f"BindPaths=-{socket}" for socket in SOCKETS),
    ]
    return "\n".join(["[Service]", *lines, ""])


@module.defines("systemd.units")
def roots(config: ConfigView) -> dict[str, object]:
    """A drop-in for each service that has a root of its own."""
    declared = {path.partition("/")[0] for path in config["etc"]}
    services = config["systemd.services"]
    return {
        f"{name}.service": {"drop_ins": {"root.conf": isolated(root, services[name]["service"], declared)}}
        for name, root in config["systemd.roots"].items()
        if name in services
    }


@module.asserts
def roots_are_of_declared_services(config: ConfigView) -> Iterator[Fault]:
    """A root belongs to a service that is declared, lies in the store, and is said once."""
    services = config["systemd.services"]
    for name, root in config["systemd.roots"].items():
        at = f"systemd.roots.{name}"
        if name not in services:
            known = ", ".join(sorted(services)) or "none"
            yield Fault(f"the service '{name}' is not declared", f"Declare it under `systemd.services`. There are: {known}.", at)
            continue
        if not root.startswith(f"{STORE}/"):
            yield Fault(f"the root of service '{name}' is no package", "Write ${pkgs.NAME}.", at)
        shown = bound(services[name]["service"])
        for path in sorted(path for path in shown if lacks(path, shown - {path})):
            message = f"the root of service '{name}' has no place for {path}: systemd would make one in the store"
            remedy = f"Bind it to a place below /run or /var, as `{path}:/run{path}`, or bind all of a directory such as /srv."
            yield Fault(message, remedy, f"systemd.services.{name}.service")
        for directive in ("RootDirectory", "RootImage"):
            if directive in services[name]["service"]:
                message = f"service '{name}' has a root and {directive}"
                yield Fault(message, "Remove one of the two.", f"systemd.services.{name}.service.{directive}")
