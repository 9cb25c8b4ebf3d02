"""The kernel's settings."""

import re

from deployer.config import ConfigView, Module, types

module = Module("sysctl", "The kernel's settings.")


def wrong_key(key: str) -> str:
    """What is wrong with a key; empty: nothing."""
    return "" if re.fullmatch(r"[a-z0-9_]+([./][A-Za-z0-9_-]+)+", key) else "is one such as net.core.somaxconn"


VALUE = types.Scalar(
    "one line of text, a number, or true or false",
    lambda value: isinstance(value, str | int | float) and not re.search(r"[\x00\n\r]", str(value)),
    {"type": ["string", "number", "boolean"]},
    lambda value: str(int(value)) if isinstance(value, bool) else str(value),
)

module.option(
    "sysctl",
    types.attributes_of(VALUE, wrong_key),
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
