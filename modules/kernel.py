"""The kernel's modules."""

from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, types

module = Module("kernel", "The kernel's modules.")

LOAD = "modules-load.d/deployer.conf"
NAMES = types.ListOf(types.text("the name of a kernel module", pattern=r"[A-Za-z0-9_-]{1,60}"), unique=True)

module.option(
    "kernel.modules",
    NAMES,
    "Modules that are loaded, now and at every boot. One that is dropped stays until the next boot.",
    default=[],
    example=["br_netfilter"],
)
module.option(
    "kernel.blacklist",
    NAMES,
    "Modules that no hardware and no program loads. One that is loaded already stays until the next boot.",
    default=[],
    example=["usb-storage"],
)


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """Where systemd and modprobe look for them."""
    modules, blacklist = config["kernel.modules"], config["kernel.blacklist"]
    made: dict[str, object] = {LOAD: {"text": "".join(f"{name}\n" for name in modules)}} if modules else {}
    refused = "".join(f"blacklist {name}\ninstall {name} /bin/false\n" for name in blacklist)
    return made | ({"modprobe.d/deployer.conf": {"text": refused}} if blacklist else {})


@module.defines("systemd.units")
def loading(config: ConfigView) -> dict[str, object]:
    """systemd's own unit loads them; where there were none at boot, it has not run yet."""
    if not config["kernel.modules"]:
        return {}
    text = f"[Unit]\nX-Restart-Triggers=/etc/{LOAD}\n"
    return {"systemd-modules-load.service": {"start": True, "drop_ins": {"deployer-modules.conf": text}}}


@module.asserts
def nothing_is_loaded_and_refused(config: ConfigView) -> Iterator[Fault]:
    """A module is wanted or not."""
    plain = {name.replace("-", "_") for name in config["kernel.modules"]}
    for name in config["kernel.blacklist"]:
        if name.replace("-", "_") in plain:
            message = f"the kernel module '{name}' is in `kernel.modules` and in `kernel.blacklist`"
            yield Fault(message, "Remove it from one of the two.", "kernel.blacklist", "kernel.modules")
