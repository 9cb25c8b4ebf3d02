"""What is mounted where, and where memory is swapped to."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, types, unit_name

module = Module("storage", "What is mounted where, and where memory is swapped to.")


def wrong_path(path: str) -> str:
    """What is wrong with a path; empty: nothing."""
    if re.fullmatch(r"/[^\x00-\x20\x7f%]*", path) and not any(part in (".", "..") for part in path.split("/")):
        return "" if path == "/" or not path.endswith("/") else "has no / at its end"
    return "is an absolute path without blanks, % and '..'"


SOURCE = types.text("a device, or whatever the file system's kind takes", pattern=r"[^\s%]+")
OPTION = types.text("an option of mount(8)", pattern=r"[^\s,%]+")

module.option(
    "mounts",
    types.attributes_of(
        Submodule(
            {
                "device": Field(SOURCE, "What: a device, LABEL=…, UUID=…, HOST:/PATH, tmpfs.", example="LABEL=data"),
                "type": Field(types.name, "The kind of file system; auto: the kernel finds out.", "auto"),
                "options": Field(types.list_of(OPTION), "Options of mount(8).", [], ["noatime"]),
                "automount": Field(types.boolean, "Whether to wait until somebody looks there.", False),
                "required": Field(types.boolean, "Whether the boot waits for it, and fails without it.", False),
            },
            "a mapping that describes a mount",
        ),
        wrong_path,
    ),
    "File systems, by the place where they are mounted, now and at every boot. One that is dropped is unmounted.",
    default={},
    example={"/srv/data": {"device": "LABEL=data", "type": "ext4", "options": ["noatime"]}},
)

module.option(
    "swap",
    types.attributes_of(
        Submodule(
            {
                "size": Field(
                    types.null_or(types.size), "Bytes of a file that is made where there is none; null: it is there.", None, "2G"
                ),
                "priority": Field(types.null_or(types.integer(0, 32767)), "Which is used first: the highest.", None),
            },
            "a mapping that describes where to swap to",
        ),
        wrong_path,
    ),
    "Devices and files to which memory is swapped, by path. One that is dropped is switched off; the file stays.",
    default={},
    example={"/swapfile": {"size": "2G"}},
)


@module.defines("systemd.mounts")
def mounts(config: ConfigView) -> dict[str, object]:
    """A unit for each mount."""
    made: dict[str, object] = {}
    for place, mount in config["mounts"].items():
        target = "remote-fs.target" if mount["type"].startswith(("nfs", "cifs")) else "local-fs.target"
        own = {"What": mount["device"], "Where": place, "Type": mount["type"], "Options": ",".join(mount["options"])}
        hangs_on = {"required_by" if mount["required"] else "wanted_by": [target]}
        made[unit_name(place)] = {
            "description": f"Mount of {place}",
            "mount": {key: value for key, value in own.items() if value},
            **({} if mount["automount"] else hangs_on),
        }
    return made


@module.defines("systemd.automounts")
def automounts(config: ConfigView) -> dict[str, object]:
    """A unit for each that waits."""
    return {
        unit_name(place): {"wanted_by": ["local-fs.target"], "automount": {"Where": place}}
        for place, mount in config["mounts"].items()
        if mount["automount"]
    }


@module.defines("systemd.swaps")
def swaps(config: ConfigView) -> dict[str, object]:
    """A unit for each place to swap to."""
    made: dict[str, object] = {}
    for path, swap in config["swap"].items():
        maker = f"make-{unit_name(path)}.service"
        made[unit_name(path)] = {
            "wanted_by": ["swap.target"],
            "swap": {"What": path} | ({} if swap["priority"] is None else {"Priority": swap["priority"]}),
            **({} if swap["size"] is None else {"requires": [maker], "after": [maker]}),
        }
    return made


MAKE = 'set -eu; [ ! -e "$1" ] || exit 0; umask 077; trap \'rm -f "$1.new"\' EXIT; ' + (
    'dd if=/dev/zero of="$1.new" bs=1048576 count="$2" status=none; mkswap "$1.new" >/dev/null; mv "$1.new" "$1"'
)
"""Whole or not at all: a file that is too small would be swapped to in silence."""


@module.defines("systemd.services")
def swap_files(config: ConfigView) -> dict[str, object]:
    """What makes each file, once."""
    return {
        f"make-{unit_name(path)}": {
            "description": f"Make the swap file {path}",
            "service": {
                "Type": "oneshot",
                "RemainAfterExit": True,
                "ExecStart": command_line(["/bin/sh", "-c", MAKE, "make-swap", path, str(max(1, swap["size"] >> 20))]),
            },
            "unit": {"DefaultDependencies": False, "RequiresMountsFor": path},
        }
        for path, swap in config["swap"].items()
        if swap["size"] is not None
    }


@module.asserts
def nothing_is_mounted_over_the_host(config: ConfigView) -> Iterator[Fault]:
    """Some places hold what a host needs to run, or what is ours."""
    for place in config["mounts"]:
        if place in ("/", "/etc", "/usr", "/run", "/proc", "/sys", "/dev") or re.match(
            r"/(nix|var/lib/deployer|proc|sys|dev)(/|$)", place
        ):
            message = f"a mount on {place} would hide what the host needs to run"
            yield Fault(message, "Leave it to /etc/fstab, or mount it elsewhere.", f"mounts.{place}")


@module.asserts
def devices_do_not_shrink_to_files(config: ConfigView) -> Iterator[Fault]:
    """A size is of a file."""
    for path, swap in config["swap"].items():
        if swap["size"] is not None and path.startswith("/dev/"):
            yield Fault(f"the swap device {path} has a `size`", "Remove it: devices have their own.", f"swap.{path}.size")
