"""What a root tree of Debian packages can do without: what hardly a program needs for its work.

    documentation   manuals, info pages and all below `usr/share/doc` but the copyright files, by which licences are known
    translations    messages in other languages than English
    character_sets  the C library's conversions of other character sets than those that its authors count as common

The first two are what Debian's own images for containers leave out.
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
_CHARACTER_SETS: Final = "character_sets"
COMMON_CHARACTER_SETS: Final = ("ANSI_X3.110", "CP1252", "ISO8859-1", "ISO8859-15", "UNICODE", "UTF-16", "UTF-32", "UTF-7")
"""What glibc has in `gconv-modules`; all others are in its `gconv-modules-extra.conf`. UTF-8 and ASCII need no file."""


def is_omitted(place: tuple[str, ...], omitted: Collection[str]) -> bool:
    """Whether a file, link or directory of a package is left out of a tree that omits these."""
    match place:
        case ("usr", "lib", _, "gconv", file) if file.endswith(".so"):
            return _CHARACTER_SETS in omitted and file.removesuffix(".so") not in COMMON_CHARACTER_SETS
        case ("usr", "share", _, *_):
            return _is_text(place, omitted)
        case _:
            return False


def _is_text(place: tuple[str, ...], omitted: Collection[str]) -> bool:
    if any(place[2] in _BELOW.get(word, ()) for word in omitted):
        return True
    # The directory of a package stays: another may have a link to it in place of its own.
    return _DOCUMENTATION in omitted and place[2] == "doc" and len(place) > 4 and place[4:] != ("copyright",)
