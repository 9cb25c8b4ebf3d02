"""What a user means by the name of a store path."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from deployer.cli.settings import Settings
from deployer.cli.store.errors import Misused, NoStore, NotInStore, PathUnknown
from deployer.errors import DeployerError, near, raise_all
from deployer.formats import StorePath, StorePathRefused
from deployer.formats.storepath import check_name
from deployer.store import Store

_LINKS: Final = 40
"""As many as the kernel follows."""
_MANY: Final = 3
_COMPARED: Final = 10_000
"""Names; more would take longer than an error should."""


def open_store(context: click.Context, *, existing: bool = False) -> Store:
    """The store that the options mean. With `existing`, one must be there: looking makes none. Raises `NoStore`."""
    settings: Settings = context.obj
    store = settings.open_store()
    if existing and not store.layout.database.exists():
        raise NoStore(str(store.root))
    return store


def find(store: Store, text: str) -> StorePath:
    """The store path that is meant, whether it is valid or not. Raises `NotInStore`."""
    if "/" not in text and not os.path.lexists(text):
        try:
            return StorePath.parse_base(text, store.store_dir)
        except StorePathRefused:
            raise NotInStore(text, "there is no such file, and it is not HASH-NAME", str(store.root)) from None
    base = _base_name(store, text)
    if base is None:
        reason = "it stands elsewhere" if os.path.lexists(text) else "there is no such file"
        raise NotInStore(text, reason, str(store.root))
    try:
        return StorePath.parse_base(base, store.store_dir)
    except StorePathRefused as error:
        raise NotInStore(text, error.reason, str(store.root)) from None


def find_valid(store: Store, texts: Iterable[str]) -> tuple[StorePath, ...]:
    """The valid paths that are meant. What is wrong with any of them is raised together: `NotInStore`, `PathUnknown`."""
    paths: list[StorePath] = []
    errors: list[DeployerError] = []
    for text in texts:
        try:
            paths.append(find(store, text))
        except DeployerError as error:
            errors.append(error)
    valid = store.valid(paths)
    errors += [unknown(store, path) for path in paths if str(path) not in valid]
    raise_all(errors)
    return tuple(paths)


def unknown(store: Store, path: StorePath) -> PathUnknown:
    """The error for a path that is not valid, with those that may have been meant."""
    known = [StorePath.parse(text, store.store_dir) for text in store.database.all_paths()]
    alike = [one for one in known if one.name == path.name or one.hash_part == path.hash_part]
    if not alike:
        names = near(path.name, {one.name for one in known[:_COMPARED]})
        alike = [one for one in known if one.name in names]
    return PathUnknown(str(path), str(store.root), tuple(map(str, alike[:_MANY])))


def name_for(file: Path, name: str | None) -> str:
    """What a file is to be called in the store. Raises `Misused`."""
    found = name or os.path.basename(os.path.abspath(file))
    try:
        return check_name(found)
    except StorePathRefused as error:
        raise Misused(f"{found!r} can't be the name of a store path: {error.reason}", "Give another with --name.") from None


def on_disk(store: Store, text: str) -> str:
    """A file or directory of this machine; one of the store where a store path is meant."""
    if os.path.lexists(text) and not text.startswith(store.store_dir + "/"):
        return text
    try:
        physical = store.physical(find(store, text))
    except NotInStore:
        return text
    below = os.path.normpath(text).removeprefix(store.store_dir + "/").partition("/")[2] if text.startswith("/") else ""
    return str(physical / below) if below else str(physical)


def _base_name(store: Store, text: str) -> str | None:
    """The part of a file's path that names a store path, links on the way followed until it is in the store."""
    path = os.path.abspath(text)
    if path.startswith(f"{store.store_dir}/"):
        return path[len(store.store_dir) + 1 :].partition("/")[0]
    places = {store.store_dir, str(store.layout.store.absolute()), os.path.realpath(store.layout.store)}
    for _ in range(_LINKS):
        for place in places:
            if path.startswith(place + "/"):
                return path[len(place) + 1 :].partition("/")[0]
        link = _first_link(path)
        if link is None:
            return None
        parent = os.path.dirname(link)
        path = os.path.normpath(os.path.join(parent, os.readlink(link)) + path[len(link) :])
    return None


def _first_link(path: str) -> str | None:
    so_far = Path("/")
    for part in Path(path).parts[1:]:
        so_far /= part
        if so_far.is_symlink():
            return str(so_far)
    return None
