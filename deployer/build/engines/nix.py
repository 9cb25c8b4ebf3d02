"""A real Nix as an engine: it gets our derivations as they are, builds them as it is set up to, and we take the outputs back.

Our `.drv` files are Nix's, so nothing is translated. What Nix lacks is sent as `nix-store --import` takes it; what it made is
read as a NAR and admitted as if our own sandbox had made it: pinned hashes, references and kinds of files are checked here.
Remote builders that this Nix knows take part, and so does whatever binary cache it trusts.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from deployer.build.engine import OnLine, Progress
from deployer.build.errors import HashMismatch, OutputsDiffer
from deployer.build.graph import Node
from deployer.build.inputs import Inputs
from deployer.build.logs import LogWriter, log_file
from deployer.build.nix_store import DIFFERS, WRONG_HASH, NixStore
from deployer.build.outputs import admit, examine
from deployer.build.reproducibility import demand_first_build, differences, keep_different
from deployer.build.settings import BuildSettings
from deployer.errors import raise_all
from deployer.formats.export import read_export
from deployer.formats.nar import NarRefused
from deployer.sandbox.scratch import clear, scratch_directory
from deployer.store import Store
from deployer.store.exporting import export_paths
from deployer.store.restoring import Read, exactly
from deployer.store.trees import Unpacker

_FEATURES: Final = ("benchmark", "big-parallel", "nixos-test")
"""Those that a Nix has without being told; `kvm` it must be said to have."""
_SPECIFIED: Final = re.compile(r"\s*specified:\s+(\S+)")
_GOT: Final = re.compile(r"\s*got:\s+(\S+)")


class NixEngine:
    """Builds with `nix-store`, of the machine's Nix or of another store that Nix can name."""

    def __init__(
        self, *, store_url: str = "", systems: Collection[str] = (), features: Collection[str] = (), jobs: int = 0
    ) -> None:
        """`store_url` is for Nix's `NIX_REMOTE`. `systems`: this machine's unless said, `jobs`: one a processor."""
        self._systems = tuple(systems) or (f"{platform.machine()}-linux",)
        self._features = (*_FEATURES, *features)
        self._jobs = jobs or os.cpu_count() or 1
        self._nix = NixStore(store_url)
        self._sending = asyncio.Lock()

    async def open(self, store: Store) -> None:
        """See `deployer.build.engine.Engine`; here, nothing needs to be found out."""

    async def close(self) -> None:
        """See `deployer.build.engine.Engine`; here, nothing is held."""

    @property
    def systems(self) -> Collection[str]:
        """Those that were named: Nix may have remote builders for others than this machine's."""
        return self._systems

    @property
    def features(self) -> Collection[str]:
        """Those that every Nix has, and those that were named."""
        return self._features

    @property
    def jobs(self) -> int:
        """How many builds it is given at once."""
        return self._jobs

    async def build(self, store: Store, node: Node, *, settings: BuildSettings, on_line: OnLine, on_progress: Progress) -> None:
        """See `deployer.build.engine.Engine`."""
        del on_progress
        if settings.check:
            demand_first_build(store, node)
        closure = await asyncio.to_thread(Inputs(store).closure, node)
        scratch = scratch_directory(store)
        try:
            async with self._sending:  # Neighbours share most of their inputs: what one sends, the next need not.
                await self._send(store, [*map(str, store.closure([node.path])), *map(str, closure)], scratch)
            await self._realise(store, node, settings, on_line, scratch / "root")
            found = await self._fetch([str(path) for path in node.outputs.values()], scratch, store.store_dir)
            made = {name: found[str(path)] for name, path in node.outputs.items()}
            if settings.check:
                second = await asyncio.to_thread(examine, store, node, made, closure=closure)
                raise_all(await differences(store, node, await asyncio.to_thread(keep_different, store, second)))
            else:
                await asyncio.to_thread(admit, store, node, made, closure=closure)
        finally:
            await asyncio.to_thread(clear, scratch)

    async def _send(self, store: Store, paths: Sequence[str], scratch: Path) -> None:
        missing = await self._nix.invalid(paths)
        if not missing:
            return
        with tempfile.TemporaryFile(dir=scratch) as stream:
            await asyncio.to_thread(export_paths, store, missing, stream.write)
            stream.seek(0)
            await self._nix.add(stream)

    async def _realise(self, store: Store, node: Node, settings: BuildSettings, on_line: OnLine, root: Path) -> None:
        """`root`: where a link keeps the outputs from Nix's collector until they are here."""
        path, log = str(node.path), LogWriter(log_file(store, str(node.path)))

        def tell(line: str) -> None:
            log.write(f"{line}\n".encode())
            on_line(line)

        try:
            for again in ((), ("--check",)) if settings.check else ((),):
                ended = await self._nix.realise(path, root, settings, tell, *again)
                if ended.status == DIFFERS:
                    raise OutputsDiffer(path, ", ".join(map(str, node.outputs.values())), "Nix's log", ended.tail)
                if ended.status == WRONG_HASH and (mismatch := _mismatch(node, ended.tail)):
                    mismatch.place = settings.place_of(mismatch.what) if settings.place_of else None
                    raise mismatch
                ended.demand_success(path, settings)
        finally:
            await asyncio.to_thread(log.seal)

    async def _fetch(self, paths: Sequence[str], scratch: Path, store_dir: str) -> dict[str, Path]:
        with tempfile.TemporaryFile(dir=scratch) as stream:
            await self._nix.write(paths, stream)
            stream.seek(0)
            return await asyncio.to_thread(_unpack, stream.read, scratch, store_dir)


def _mismatch(node: Node, lines: Iterable[str]) -> HashMismatch | None:
    """What Nix says of a hash that is not the pinned one, as we say it."""
    specified = next((match[1] for line in lines if (match := _SPECIFIED.match(line))), "")
    got = next((match[1] for line in lines if (match := _GOT.match(line))), "")
    return HashMismatch(str(node.outputs["out"]), specified, got) if got and "out" in node.outputs else None


def _unpack(read: Read, scratch: Path, store_dir: str) -> dict[str, Path]:
    """Where each path of a stream stands afterwards. What the stream says of references is not believed."""
    places: list[Path] = []
    sinks: list[Unpacker] = []

    def sink() -> Unpacker:
        places.append(scratch / str(len(places)))
        sinks.append(Unpacker(str(places[-1]), _no_file))
        return sinks[-1]

    found: dict[str, Path] = {}
    for header in read_export(exactly(read), sink, store_dir):
        sinks.pop().finish()
        found[header.path] = places[-1]
    return found


def _no_file(name: str) -> str:
    raise NarRefused(f"it names a file {name!r} that is held elsewhere")
