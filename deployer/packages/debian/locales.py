"""Locales of a root tree: compiled by the tree's own localedef(1), in the sandbox, each by itself.

The tree without them is the toolchain. Its C library reads what is made, whatever release it is of; and as all builds do, this
one needs a machine of the tree's architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from deployer.formats.derivation import placeholder
from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.packages.recipes import safe_name

LOCALE: Final = re.compile(
    r"(?P<language>[A-Za-z]{1,8}(?:_[A-Z]{2})?)\.(?P<charset>[A-Za-z0-9_-]{1,40})(?P<modifier>@[A-Za-z0-9]{1,20})?"
)
"""Such as `de_DE.UTF-8` or `sr_RS.UTF-8@latin`."""
_COMMON: Final = frozenset({"utf8", "iso88591", "iso885915", "cp1252"})
"""Character sets of locales whose conversions stay in a tree that omits character sets."""
_LOCALEDEF: Final = "/usr/bin/localedef"


def locales_of(tree: Made, names: Iterable[str], store_dir: str) -> dict[str, Made]:
    """What compiles locales of these names, by the names of the directories that a C library looks for."""
    return {directory_of(name): _locale(tree, name, store_dir) for name in sorted(names)}


def directory_of(name: str) -> str:
    """What glibc makes of a locale's name when it looks for it: `de_DE.utf8` of `de_DE.UTF-8`."""
    match = LOCALE.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no locale")
    charset = re.sub(r"[^A-Za-z0-9]", "", match["charset"]).lower()
    charset = f"iso{charset}" if charset.isdigit() else charset
    return f"{match['language']}.{charset}{match['modifier'] or ''}"


def is_of_common_character_set(name: str) -> bool:
    """Whether a program can speak a locale where only the common character sets are not left out."""
    return directory_of(name).partition(".")[2].partition("@")[0] in _COMMON


def _locale(tree: Made, name: str, store_dir: str) -> Made:
    match = LOCALE.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no locale")
    charmap = make_derivation(
        safe_name(f"{tree.derivation.name}-charmap-of-{name}"),
        builder="builtin:charmap",
        system="builtin",
        environment={"root": str(tree.output), "locale": name},
        inputs=(tree,),
        store_dir=store_dir,
    )
    definition = f"{match['language']}{match['modifier'] or ''}"
    return make_derivation(
        safe_name(f"{tree.derivation.name}-locale-{name}"),
        builder=_LOCALEDEF,
        arguments=("--no-archive", "-i", definition, "-f", str(charmap.output), placeholder("out")),
        system=f"{tree.architecture}-linux",
        environment={"toolchain": str(tree.output)},
        inputs=(tree, charmap),
        store_dir=store_dir,
        architecture=tree.architecture,
    )
