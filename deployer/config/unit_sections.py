"""The type of a section of a systemd unit: directives by name, each said once or repeated."""

from __future__ import annotations

import re
from typing import Final

from deployer.config.compounds import OneOrMany
from deployer.config.mappings import AttributesOf
from deployer.config.scalars import setting

_DIRECTIVE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def wrong_directive(name: str) -> str:
    """What is wrong with a directive's name; empty: nothing."""
    return "" if _DIRECTIVE.fullmatch(name) else "is one such as ExecStart"


unit_section: Final = AttributesOf(OneOrMany(setting), wrong_directive)
"""Lists are joined, and single values with them; single values alone must agree."""
