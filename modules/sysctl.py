"""The kernel's settings."""

import re

from deployer.config import ConfigView, Module, types

module = Module("sysctl", "The kernel's settings.")


def wrong_key(key: str) -> str:
    """What is wrong with a key; empty: nothing."""
    return "" if re.fullmatch(r"[a-z0-9_]+([./][A-Za-z0-9_-]+)+", key) else "looks like net.core.somaxconn"


module.option(
    "sysctl",
    types.attributes_of(types.setting, wrong_key),
    "Values by key, set at every activation and at every boot. A key that is dropped gets back the value that it had.",
    default={},
    example={"net.core.somaxconn": 4096},
)


@module.defines("etc")
def settings_file(config: ConfigView) -> dict[str, object]:
    """The settings, where systemd-sysctl reads them at boot."""
    settings = config["sysctl"]
    text = "".join(f"{key} = {value}\n" for key, value in sorted(settings.items()))
    return {"sysctl.d/60-deployer.conf": {"text": text}} if settings else {}
