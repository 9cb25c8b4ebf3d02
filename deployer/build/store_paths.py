"""Store paths that nothing here can build: they come from binary caches, or are made by a Nix that is at hand."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable

from deployer.build.events import BuildEnded, BuildLogged, BuildStarted, BuildStopped
from deployer.build.logs import LogWriter, log_file
from deployer.build.nix_store import NixStore
from deployer.build.realiser import Sink
from deployer.build.settings import BuildSettings
from deployer.errors import DeployerError, raise_all
from deployer.formats import StorePath
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.nix_expressions import instantiate
from deployer.packages.nix_packages import PinnedAttribute
from deployer.process import ProgramMissing
from deployer.sandbox.scratch import clear, scratch_directory
from deployer.store import Store
from deployer.store.exporting import import_paths


async def fetch_store_paths(
    store: Store, packages: PackageSet, made: Iterable[Made], settings: BuildSettings, *, on_event: Sink = lambda _: None
) -> None:
    """Make the paths that packages of kind `nix` among `made` are, and all that they refer to, valid.

    Raises `StorePathMissing` for each that no trusted cache has and no Nix makes, and what is wrong with making it.
    """
    wanted = packages.cached_paths(made)
    store.keep(wanted)
    errors: list[DeployerError] = []
    for path in wanted:
        if store.is_valid(path):
            continue
        reason = await _substitute(store, path, settings)
        try:
            if not store.is_valid(path) and (pinned := packages.pinned_attribute(path)):
                await _take_from_nix(store, path, pinned, settings, on_event)
        except ProgramMissing:
            reason += ", and no Nix is here"
        except DeployerError as error:
            errors.append(error)
            continue
        if not store.is_valid(path):
            errors.append(packages.missing_path(path, reason))
    raise_all(errors)


async def _substitute(store: Store, path: StorePath, settings: BuildSettings) -> str:
    """Try each cache. Returns why the last one could not give it."""
    reason = "no cache is named"
    for cache in settings.substituters:
        try:
            await cache.substitute(store, path)
            break
        except DeployerError as error:
            reason = error.message
    return reason


async def _take_from_nix(store: Store, path: StorePath, pinned: PinnedAttribute, settings: BuildSettings, on_event: Sink) -> None:
    """Have the machine's Nix fetch or build it as it is set up to, and copy it here with all that it refers to."""
    nix, scratch, derivation = NixStore(), scratch_directory(store), pinned.locked.derivation
    began, name = time.monotonic(), StorePath.parse(derivation, store.store_dir).name.removesuffix(".drv")
    log = LogWriter(log_file(store, derivation))

    def tell(line: str) -> None:
        log.write(f"{line}\n".encode())
        on_event(BuildLogged(derivation, name, line))

    on_event(BuildStarted(derivation, name))
    try:
        root = scratch / "output"
        # What it has, or what a cache of its own has, needs no evaluation; what it says of what nobody has is of no use.
        if (await nix.realise(str(path), root, settings, lambda _: None)).status:
            if await nix.invalid([derivation]):
                await instantiate(pinned.recipe, pinned.locked, scratch / "derivation", pinned.lock_file)
            ended = await nix.realise(f"{derivation}!{pinned.locked.output}", root, settings, tell)
            ended.demand_success(derivation, settings)
        needed = await nix.requisites(str(path))
        valid = store.valid([StorePath.parse(one, store.store_dir) for one in needed])
        with tempfile.TemporaryFile(dir=scratch) as stream:
            await nix.write([one for one in needed if one not in valid], stream)
            stream.seek(0)
            await asyncio.to_thread(import_paths, store, stream.read)
    except DeployerError as error:
        on_event(BuildStopped(derivation, name, error))
        raise
    finally:
        await asyncio.to_thread(log.seal)
        await asyncio.to_thread(clear, scratch)
    on_event(BuildEnded(derivation, name, (str(path),), time.monotonic() - began))
