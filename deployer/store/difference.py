"""What came and what went between two closures, by package and version (Nix: `diff-closures`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Final, Tuple

from deployer.formats.storepath import StorePath
from deployer.store.closures import reached
from deployer.store.database import PathInfo
from deployer.store.store import Store

_OUTPUT: Final = re.compile(r"(.*)-([a-z]+|lib32|lib64)")
_VERSION: Final = re.compile(r"-(?![a-zA-Z])(?=.)")
_NOTABLE: Final = 8 * 1024
"""Bytes. A smaller change in size alone is not told."""


@dataclass(frozen=True)
class Change:
    """One package that is not the same in both closures."""

    name: str
    removed: Tuple[str, ...]
    """Versions; empty for a package that has none."""
    added: Tuple[str, ...]
    bytes: int
    """How much larger the package's paths are together."""

    @property
    def is_large(self) -> bool:
        """Whether the size is worth telling."""
        return abs(self.bytes) >= _NOTABLE


def split_name(name: str) -> Tuple[str, str]:
    """A path's name into its package and version; what looks like an output's name is left out."""
    output = _OUTPUT.fullmatch(name)
    text = output[1] if output else name
    version = _VERSION.search(text)
    return (text[: version.start()], text[version.end() :]) if version else (text, "")


def difference(store: Store, before: StorePath, after: StorePath) -> Tuple[Change, ...]:
    """The packages that differ, by name. Raises `PathNotValid`."""
    infos: Dict[str, PathInfo] = {}
    old, new = _packages(store, before, infos), _packages(store, after, infos)
    changes = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, {}), new.get(name, {})
        change = Change(
            name,
            tuple(sorted(was.keys() - now.keys())),
            tuple(sorted(now.keys() - was.keys())),
            sum(now.values()) - sum(was.values()),
        )
        if change.removed or change.added or change.is_large:
            changes.append(change)
    return tuple(changes)


def _packages(store: Store, top: StorePath, infos: Dict[str, PathInfo]) -> Dict[str, Dict[str, int]]:
    """Package to version to bytes."""
    packages: Dict[str, Dict[str, int]] = {}

    def references(path: str) -> Tuple[str, ...]:
        infos.setdefault(path, store.query(path))
        return infos[path].references

    for path in reached([str(top)], references):
        name, version = split_name(StorePath.parse(path, store.store_dir).name)
        versions = packages.setdefault(name, {})
        versions[version] = versions.get(version, 0) + infos[path].nar_size
    return packages
