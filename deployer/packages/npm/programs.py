"""Programs of npm packages: what they are called, which files they are, and where npm links them in `.bin`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from deployer.packages.npm.directories import name_of
from deployer.packages.npm.lock_file import AGAIN, Entry, NpmLock

_PROGRAM: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+._-]{0,99}")
_ORDER: Final = "_-.@/~"
"""What comes before digits and letters where npm sorts paths, in this order (Unicode's for English)."""


def programs_of_entry(lock: NpmLock, path: str, entry: Entry) -> Mapping[str, str]:
    """Name of each program → its file, as a path of the project. Raises `PackageInvalid`."""
    declared: Any = entry.get("bin", {})
    if isinstance(declared, str):
        declared = {str(entry.get("name") or name_of(path)): declared}
    found: dict[str, str] = {}
    for name, file in declared.items():
        # A scope is no part of the name of a program.
        program = name.rpartition("/")[2] if name.startswith("@") else name
        parts = [part for part in str(file).split("/") if part not in ("", ".")]
        if not _PROGRAM.fullmatch(program):
            raise lock.refuse(f"{name!r} of {path or 'the project'} is no name of a program", AGAIN, key=path)
        if ".." in parts or str(file).startswith("/") or not parts:
            raise lock.refuse(f"the program {name!r} of {path or 'the project'} is outside of it: {file!r}", AGAIN, key=path)
        found[program] = "/".join([*([path] if path else []), *parts])
    return found


def links_of_programs(lock: NpmLock, packages: Iterable[tuple[str, Entry]]) -> Mapping[str, str]:
    """Path in a `.bin` → the file that it links to, of packages by where they, or links to them, lie in `node_modules`.

    Of two packages in one `node_modules` with programs of one name the one that is linked is that which npm comes by first.
    """
    found: dict[str, str] = {}
    for path, entry in sorted(packages, key=lambda item: (bool(item[1].get("link")), _order(item[0]))):
        beside = path.removesuffix(name_of(path))
        for name, file in programs_of_entry(lock, path, entry).items():
            found.setdefault(f"{beside}.bin/{name}", file)
    return dict(sorted(found.items()))


def _order(path: str) -> tuple[int, list[tuple[int, str]], str]:
    """By depth, and then as a dictionary has it, where case counts only between names that are equal without."""
    depth = path.count("node_modules/")
    return depth, [(_ORDER.find(char) if char in _ORDER else len(_ORDER), char.lower()) for char in path], path.swapcase()
