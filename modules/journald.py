"""The journal: where it is kept, and how much of it."""

import re

from deployer.config import ConfigView, Field, Module, Submodule, types

module = Module("journald", "The journal: where it is kept, and how much of it.")

DROP_IN = "systemd/journald.conf.d/deployer.conf"


def wrong_setting(name: str) -> str:
    """What is wrong with a setting's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Z][A-Za-z]*", name) else "is a setting of journald.conf(5) such as RateLimitBurst"


module.option(
    "journald",
    Submodule(
        {
            "storage": Field(
                types.null_or(types.enumeration("persistent", "volatile", "auto", "none")),
                "persistent: on the disk; volatile: in memory; null: as the host has it.",
                None,
            ),
            "max_use": Field(types.null_or(types.size), "Bytes on the disk, at most.", None, "500M"),
            "max_file_age": Field(types.null_or(types.duration), "What is older goes.", None, "30d"),
            "settings": Field(
                types.attributes_of(types.setting, wrong_setting),
                "More settings of journald.conf(5).",
                {},
                {"RateLimitBurst": 10000},
            ),
        },
        "a mapping of settings",
    ),
    "The journal of the host. A change restarts journald, which loses no line.",
    default={},
    example={"storage": "persistent", "max_use": "500M"},
)


@module.defines("etc")
def settings(config: ConfigView) -> dict[str, object]:
    """Beside the host's own settings, and stronger."""
    journald = config["journald"]
    named = {
        "Storage": journald["storage"],
        "SystemMaxUse": journald["max_use"],
        "MaxRetentionSec": None if journald["max_file_age"] is None else f"{journald['max_file_age']:.0f}s",
    }
    given = {name: value for name, value in named.items() if value is not None} | journald["settings"]
    lines = "".join(f"{name}={value}\n" for name, value in sorted(given.items()))
    return {DROP_IN: {"text": f"[Journal]\n{lines}"}} if lines else {}


@module.defines("systemd.extend")
def restarting(config: ConfigView) -> dict[str, object]:
    """journald reads its settings when it starts."""
    if not settings(config):
        return {}
    return {"systemd-journald.service": {"Unit": {"X-Restart-Triggers": f"/etc/{DROP_IN}"}}}
