"""Services that run programs of a package's root tree, and see all files of the host."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, types

module = Module("loaded_programs", "Services that run programs of a package's root tree, and see all files of the host.")

PLAIN_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,200}")

module.option(
    "systemd.loaded_programs",
    types.attributes_of(
        types.unique_list_of(types.absolute_path),
        lambda name: "" if PLAIN_NAME.fullmatch(name) else "is a service's name, without .service",
    ),
    "Programs of packages of kind `debian`, by service: wherever the service names one, it is started by the loader and with the "
    "libraries of the package's tree, and all else is the host's. For what is to see any file of the host, as a backup is; other "
    "services have the tree as their root (`systemd.roots`).",
    default={},
    example={"dump": ["${pkgs.restic}/usr/bin/restic"]},
)


@module.asserts
def services_are_declared(config: ConfigView) -> Iterator[Fault]:
    """The programs are of declared services, and of those without a root."""
    for name in config["systemd.loaded_programs"]:
        at = f"systemd.loaded_programs.{name}"
        if name not in config["systemd.services"]:
            yield Fault(f"there is no service '{name}' that could run programs", "Declare it in `systemd.services`.", at)
        elif name in config["systemd.roots"]:
            yield Fault(f"service '{name}' has a root, and sees no files of the host", "Remove one of the two.", at)
