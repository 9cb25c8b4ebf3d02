"""Links that a user names, and that keep what they lead to: `--add-root`, as Nix has it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from deployer.cli.store.errors import Misused
from deployer.formats import base32
from deployer.store import Store


def root_at(store: Store, link: Path, paths: Sequence[str]) -> list[Path]:
    """Make LINK, LINK-2 and so on lead to where the paths lie here, and keep these as long as the links are there."""
    made = []
    for number, path in enumerate(paths, 1):
        place = Path(os.path.abspath(link if number == 1 else f"{link}-{number}"))
        if os.path.lexists(place) and not place.is_symlink():
            raise Misused(f"{place} is there already, and is no link", "Name another with --add-root.")
        if not place.parent.is_dir():
            raise Misused(f"there is no directory {place.parent}", "Make it first, or name another place with --add-root.")
        name = f"auto-{base32.encode(hashlib.sha1(os.fsencode(place), usedforsecurity=False).digest())}"
        # First what keeps the path, then what leads there: in between nothing can be lost.
        store.add_root(name, str(place))
        temporary = place.with_name(f".{place.name}-{os.getpid()}")
        temporary.symlink_to(store.physical(path))
        os.replace(temporary, place)
        made.append(place)
    return made
