"""Whether others made the same of the same derivation: comparing a path with what caches and a second build have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from deployer.errors import DeployerError, JsonValue, ManyErrors
from deployer.formats import StorePath
from deployer.store import PathInfo, Store

if TYPE_CHECKING:
    from deployer.build import BuildSettings
    from deployer.cache import Caches

SECOND_BUILD: Final = "a second build"


@dataclass(slots=True)
class Verdict:
    """What is known of one path."""

    path: str
    ours: str
    """The hash of the NAR here."""
    theirs: dict[str, str] = field(default_factory=dict)
    """Who else has it, and with which hash."""
    notes: dict[str, str] = field(default_factory=dict)
    """Who could not tell, and why; or where a second build's result is kept."""

    @property
    def word(self) -> str:
        """identical, different or unknown."""
        if any(found != self.ours for found in self.theirs.values()):
            return "different"
        return "identical" if self.theirs else "unknown"

    @property
    def sentence(self) -> str:
        """For a person."""
        match self.word:
            case "identical":
                return f"{self.path} identical: {', '.join(self.theirs)}"
            case "different":
                others = [f"    {who}: {found}" for who, found in self.theirs.items() if found != self.ours]
                notes = [f"    {who}: {note}" for who, note in self.notes.items()]
                return "\n".join([f"{self.path} different", f"    here: {self.ours}", *others, *notes])
        reasons = "; ".join(f"{who}: {note}" for who, note in self.notes.items())
        return f"{self.path} unknown: {reasons or 'nobody else was asked'}"

    def document(self) -> dict[str, JsonValue]:
        """For a program."""
        return {
            "path": self.path,
            "verdict": self.word,
            "hash": self.ours,
            "others": {**self.theirs},
            "notes": {**self.notes},
        }


async def ask_caches(infos: Sequence[PathInfo], caches: Mapping[str, Caches], store: Store) -> list[Verdict]:
    """What the caches, by URL, say of paths. A cache that fails is noted, and no error."""
    verdicts = [Verdict(info.path, info.nar_hash) for info in infos]

    async def ask(verdict: Verdict, url: str, cache: Caches) -> None:
        try:
            found = await cache.query(StorePath.parse(verdict.path, store.store_dir))
        except DeployerError as error:
            verdict.notes[url] = error.message
            return
        if found is None:
            verdict.notes[url] = "does not have it"
        else:
            verdict.theirs[url] = found.nar_hash.base32

    await asyncio.gather(*(ask(verdict, url, cache) for verdict in verdicts for url, cache in caches.items()))
    return verdicts


async def build_again(store: Store, verdicts: Iterable[Verdict], settings: BuildSettings) -> None:
    """Build each path once more, aside, and note what came of it."""
    from deployer.build import realise
    from deployer.build.errors import OutputsDiffer

    by_deriver: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        deriver = store.query(verdict.path).deriver
        if deriver and store.is_valid(deriver):
            by_deriver.setdefault(deriver, []).append(verdict)
        else:
            verdict.notes[SECOND_BUILD] = "its derivation is not here"
    for deriver, made in by_deriver.items():
        try:
            await realise(store, [StorePath.parse(deriver, store.store_dir)], settings=settings)
        except DeployerError as error:
            found = list(error.errors) if isinstance(error, ManyErrors) else [error]
            differing = {one.output: one for one in found if isinstance(one, OutputsDiffer)}
            for verdict in made:
                if verdict.path in differing:
                    verdict.theirs[SECOND_BUILD] = "other bytes"
                    verdict.notes[SECOND_BUILD] = f"kept in {differing[verdict.path].kept}"
                elif not differing:
                    verdict.notes[SECOND_BUILD] = error.message.partition("\n")[0]
                else:
                    verdict.theirs[SECOND_BUILD] = verdict.ours
        else:
            for verdict in made:
                verdict.theirs[SECOND_BUILD] = verdict.ours
