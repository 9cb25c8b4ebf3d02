"""The time zone."""

from deployer.config import ConfigView, Module, types

module = Module("clock", "The time zone.")

ZONES = "/usr/share/zoneinfo"
ZONE = types.text("a time zone such as Europe/Berlin, or UTC", pattern=r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")

module.option(
    "time_zone",
    types.null_or(ZONE),
    "The host's time zone; null: as the host has it. Programs that run already keep the one with which they started.",
    default=None,
    example="Europe/Berlin",
)


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """What the C library reads, and what Debian's tools do."""
    zone = config["time_zone"]
    if zone is None:
        return {}
    return {
        "localtime": {"target": f"{ZONES}/{zone}", "replace": True},
        "timezone": {"text": f"{zone}\n", "kind": "file", "replace": True},
    }


@module.defines("requires.paths")
def zone_is_known(config: ConfigView) -> dict[str, list[str]]:
    """A zone that the host does not know would be taken for UTC without a word."""
    return {} if config["time_zone"] is None else {f"{ZONES}/{config['time_zone']}": ["`time_zone`"]}
