"""`builtin:charmap`: the character map of a locale, as the `locales` package of a root tree has it, not compressed.

localedef(1) would have gzip do that, which the tree need not have. A locale that the tree has no definition of is told here, with
the nearest ones.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deployer.build.archives import CHUNK, refusing
from deployer.build.limits import Limits
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused, LocaleUnknown
from deployer.errors import near

_I18N: Final = "usr/share/i18n"
_NAME: Final = re.compile(r"([^.@]+)\.([^.@]+)(@[^.@]+)?")


def charmap(root: Path, locale: str, destination: Path, *, limits: Limits) -> None:
    """Write the character map of `locale` (`de_DE.UTF-8`) to `destination`. Raises `LocaleUnknown`, `ArchiveRefused`."""
    tree, match = RootTree(root), _NAME.fullmatch(locale)
    definition = tree.leads_to(f"{_I18N}/locales/{match[1]}{match[3] or ''}") if match else None
    packed = tree.leads_to(f"{_I18N}/charmaps/{match[2]}.gz") if match else None
    if definition is None or packed is None or not definition.is_file() or not packed.is_file():
        raise LocaleUnknown(root.name, locale, near(locale, [*_supported(tree)]))
    left = limits.total_bytes
    with refusing(packed.name), gzip.open(packed) as stream, destination.open("xb") as file:
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ArchiveRefused(packed.name, "", f"it unpacks to more than {limits.total_bytes} bytes")
            file.write(chunk)


def _supported(tree: RootTree) -> Iterator[str]:
    """The locales that a tree has all parts of, with their character sets."""
    file = tree.leads_to(f"{_I18N}/SUPPORTED")
    if file is None or not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2:
            language, _, modifier = words[0].partition("@")
            yield f"{language.partition('.')[0]}.{words[1]}{'@' if modifier else ''}{modifier}"
