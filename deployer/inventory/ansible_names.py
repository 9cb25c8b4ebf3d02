"""Names of hosts as Ansible's inventories write them: with ranges, and perhaps with a port."""

from __future__ import annotations

import re
from typing import Final

from deployer.errors import Place
from deployer.inventory import values
from deployer.inventory.ranges import expand

_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.%]+:[0-9A-Za-z:.%_-]*)\](?::(.*))?")
_WITH_PORT: Final = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])+):([^:\[\]]*)")


def host_and_port(text: str, place: Place) -> tuple[tuple[str, ...], int | None]:
    """The names, and the port that stands behind them: `web[01:20]:2222`, `[2001:db8::1]:22`."""
    if values.is_ip(text):
        return (text,), None
    if (match := _BRACKETED.fullmatch(text)) and values.is_ip(match[1]):
        return (match[1],), None if match[2] is None else values.port(match[2], place)
    if match := _WITH_PORT.fullmatch(text):
        return expand(match[1], place), values.port(match[2], place)
    return expand(text, place), None
