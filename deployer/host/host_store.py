"""The real answer to `machine.StorePort`: the store below `/nix`."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Final, Mapping

from deployer.formats import StorePath, StorePathRefused
from deployer.formats.manifest import Manifest
from deployer.host.disk import Disk
from deployer.host.ledger import Metadata
from deployer.host.machine import StorePort
from deployer.host.paths import NIX_ROOTS
from deployer.host.refusals import SystemLost

if TYPE_CHECKING:
    from deployer.store import Store

_ROOTS: Final = "/nix/var/deployer/gcroots"
_INTERPRETER: Final = "interpreter"
_PROGRAM: Final = "bin/python3"
_OURS: Final = ("generation-", "good", "next", "pushed")
_NIX_DATABASE: Final = "nix/var/nix/db"
_MAIN: Final = "__main__.py"
_DIRECTORY: Final = Metadata(0o755, 0, 0)


class HostStore(StorePort):
    """Validity is the store's to tell; systems are read from where they lie."""

    def __init__(self, disk: Disk) -> None:
        """Below the root of `disk`."""
        self._disk = disk

    @functools.cached_property
    def store(self) -> Store:
        """The paths themselves."""
        from deployer.store import Store

        return Store(self._disk.root)

    def is_valid(self, path: str) -> bool:
        """Whether a path is registered."""
        try:
            return self.store.is_valid(StorePath.parse(path))
        except StorePathRefused:
            return False

    def manifest(self, system: str) -> Manifest:
        """Of a system; an empty one for the host before us. Raises `SystemLost`."""
        if not system:
            return Manifest()
        try:
            return Manifest.from_bytes((self._on_disk(system) / "manifest.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise SystemLost(system) from None

    def runtime(self, system: str) -> str:
        """What a system brings for Python to run; empty for the host before us, and where it is gone."""
        try:
            directory = self.manifest(system).runtime if system else ""
        except SystemLost:
            return ""
        return directory if directory and (self._on_disk(directory) / _MAIN).is_file() else ""

    def interpreter(self) -> str:
        """The Python that was brought to this host; empty where it has its own."""
        entry = self._disk.entry(f"{_ROOTS}/{_INTERPRETER}")
        if entry is None or not entry.target or not (self._on_disk(entry.target) / _PROGRAM).is_file():
            return ""
        return f"{entry.target}/{_PROGRAM}"

    def adopt(self, tree: str, path: str, nar_hash: str, nar_size: int) -> None:
        """Keep a Python in the store, copied from `tree` where it is not there yet, and have it run all of ours.

        Raises `PathCorrupt`, `PathNotValid`.
        """
        from deployer.formats.hashes import Hash
        from deployer.host.nix_beside import NixBeside
        from deployer.store import PathCorrupt, PathNotValid, trees
        from deployer.store.database import PathInfo

        if not self.is_valid(path):
            if not tree:
                raise PathNotValid(path)
            with self.store.batch() as batch:
                aside = batch.place()
                try:
                    digest, size = trees.copy(tree, aside)
                    found = Hash("sha256", digest).base32
                    if (found, size) != (Hash.parse(nar_hash).base32, nar_size):
                        raise PathCorrupt(path, f"{nar_hash} ({nar_size} bytes)", f"{found} ({size} bytes)")
                except BaseException:
                    trees.remove(aside)
                    raise
                batch.move(PathInfo(path, nar_hash, nar_size), aside)
                NixBeside(self.store).keep_from_collecting()
                batch.commit()
        self._make_roots(_ROOTS)
        self._disk.link(f"{_ROOTS}/{_INTERPRETER}", path)
        self._share_with_nix()

    def hold(self, roots: Mapping[str, str]) -> None:
        """Make exactly these paths, by name, the roots that are ours. New ones are made before old ones go."""
        self._make_roots(_ROOTS)
        for name, path in roots.items():
            entry = self._disk.entry(f"{_ROOTS}/{name}")
            if entry is None or entry.target != path:
                self._disk.link(f"{_ROOTS}/{name}", path)
        for path in self._disk.half_written(_ROOTS):
            self._disk.remove(path)
        for name in self._disk.names(_ROOTS):
            if name.startswith(_OURS) and name not in roots:
                self._disk.remove(f"{_ROOTS}/{name}")
        self._share_with_nix()

    def _share_with_nix(self) -> None:
        """Where the host has a Nix: let it know all that our roots keep, and have the same roots there. Raises `NixUnusable`."""
        from deployer.host.nix_beside import NixBeside, changes

        beside = NixBeside(self.store)
        if not beside.is_there:
            return
        wanted = self._links(_ROOTS)
        beside.register(wanted.values())
        self._make_roots(NIX_ROOTS)
        for name, path in changes(self._links(NIX_ROOTS), wanted).items():
            if path is None:
                self._disk.remove(f"{NIX_ROOTS}/{name}")
            else:
                self._disk.link(f"{NIX_ROOTS}/{name}", path)

    def _links(self, directory: str) -> Dict[str, str]:
        entries = {name: self._disk.entry(f"{directory}/{name}") for name in self._disk.names(directory)}
        return {name: entry.target for name, entry in entries.items() if entry is not None and entry.target}

    def _make_roots(self, directory: str) -> None:
        above = ""
        for part in directory.split("/")[1:]:
            above += "/" + part
            if self._disk.entry(above) is None:
                self._disk.make_directory(above, _DIRECTORY)

    def remove(self) -> None:
        """Remove all that is ours below `/nix`. On a host that has Nix the paths are left to its collector, which knows them."""
        root = self._disk.root
        has_nix = (root / _NIX_DATABASE).exists()
        if not has_nix:
            for place in sorted((root / "nix/store").glob("*")) + sorted((root / "nix/store").glob(".*")):
                _remove(place)
        _remove(root / "nix/var/deployer")
        _remove(root / NIX_ROOTS.lstrip("/"))
        if not has_nix:
            for name in ("/nix/var", "/nix/store", "/nix"):
                if self._disk.entry(name) is not None:
                    self._disk.remove_directory(name)

    def _on_disk(self, path: str) -> Path:
        return self._disk.root / path.lstrip("/")


def _remove(place: Path) -> None:
    """All of it. Nothing in it is written any more, so nobody can swap a directory for a link."""
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_dir():
        shutil.rmtree(place)
