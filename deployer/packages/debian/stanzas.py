"""Stanzas of fields, as `Packages` and Release files have them (Debian policy, 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from deployer.packages.lockfile import LockedDeb

_FIELD: Final = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


def fields_of(stanza: str) -> dict[str, str]:
    """Its fields by name; the lines of one are not joined."""
    return {match[1]: match[2].strip() for match in _FIELD.finditer(stanza)}


def deb_of(fields: Mapping[str, str]) -> LockedDeb:
    """What pins the .deb of a package. Raises `KeyError` or `ValueError` where the fields do not tell it."""
    return LockedDeb(
        fields["Package"],
        fields["Version"],
        fields["Architecture"],
        fields["Filename"],
        int(fields["Size"]),
        fields["SHA256"],
    )
