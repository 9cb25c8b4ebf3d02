"""What a root tree of Debian packages can do without: texts for people, which no program needs for its work.

    documentation  manuals, info pages and all below `usr/share/doc` but the copyright files, by which licences are known
    translations   messages in other languages than English

It is what Debian's own images for containers leave out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

_DOCUMENTATION: Final = "documentation"
_BELOW: Final[Mapping[str, tuple[str, ...]]] = {
    _DOCUMENTATION: ("man", "info", "doc-base", "lintian"),
    "translations": ("locale",),
}
"""Directories of `usr/share`."""


def is_omitted(place: tuple[str, ...], omitted: Collection[str]) -> bool:
    """Whether a file, link or directory of a package is left out of a tree that omits these."""
    if len(place) < 3 or place[:2] != ("usr", "share"):
        return False
    if any(place[2] in _BELOW[word] for word in omitted):
        return True
    # The directory of a package stays: another may have a link to it in place of its own.
    return _DOCUMENTATION in omitted and place[2] == "doc" and len(place) > 4 and place[4:] != ("copyright",)
