"""The second build that `deployer store challenge` compares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from deployer.cache.challenge import Opinion, Rebuild
from deployer.errors import DeployerError, ManyErrors
from deployer.formats import StorePath
from deployer.store import PathInfo, Store

if TYPE_CHECKING:
    from deployer.build import BuildSettings

WHO: Final = "a second build"


def second_build(store: Store, settings: BuildSettings) -> Rebuild:
    """Builds paths' derivations again, aside; `settings` say `check`."""

    async def rebuild(infos: Sequence[PathInfo]) -> Mapping[str, Opinion]:
        found = {info.path: Opinion(WHO, note="its derivation is not here") for info in infos if not store.valid([info.deriver])}
        by_deriver: dict[str, list[PathInfo]] = {}
        for info in infos:
            if info.path not in found:
                by_deriver.setdefault(info.deriver, []).append(info)
        for deriver, made in by_deriver.items():
            found |= await _build(store, settings, deriver, made)
        return found

    return rebuild


async def _build(store: Store, settings: BuildSettings, deriver: str, made: list[PathInfo]) -> dict[str, Opinion]:
    from deployer.build import realise
    from deployer.build.errors import OutputsDiffer

    try:
        await realise(store, [StorePath.parse(deriver, store.store_dir)], settings=settings)
    except DeployerError as error:
        errors = list(error.errors) if isinstance(error, ManyErrors) else [error]
        different = {one.output: one for one in errors if isinstance(one, OutputsDiffer)}
        if not different:
            return {info.path: Opinion(WHO, note=error.message.partition("\n")[0]) for info in made}
        return {
            info.path: Opinion(WHO, "other bytes", f"kept in {different[info.path].kept}")
            if info.path in different
            else Opinion(WHO, info.nar_hash)
            for info in made
        }
    return {info.path: Opinion(WHO, info.nar_hash) for info in made}
