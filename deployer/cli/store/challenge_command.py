"""`deployer store challenge`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Final

import click

from deployer.cache.challenge import Comparison, Opinion, Verdict, challenge
from deployer.cli.options import build_options
from deployer.cli.settings import Settings
from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.errors import ExitCode, JsonValue
from deployer.formats import StorePath
from deployer.store import Store

_CONTENT: Final = "its content makes its name"


@click.command("challenge")
@paths_argument
@click.option("-r", "--recursive", is_flag=True, help="Their closures, too.")
@click.option("--rebuild", is_flag=True, help="Build them again, aside, and compare.")
@build_options
@store_options
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], recursive: bool, rebuild: bool) -> None:
    """Ask whether PATHs are reproducible: compare them with what binary caches have (--substituter), and with a second build.

    Each is identical, different, or unknown: nobody else could tell. Exit code 1 where any is different.
    """
    settings: Settings = context.obj
    if not settings.build.substituters and not rebuild:
        raise Misused("there is nobody to compare with", "Name a cache with --substituter URL, or build again with --rebuild.")
    store = open_store(context, existing=True)
    found = find_valid(store, paths)
    named = store.closure(found) if recursive else tuple(dict.fromkeys(found))
    comparisons = asyncio.run(_compare(settings, store, named, rebuild=rebuild))
    printer = Printer(context)
    printer.answer([_sentence(one) for one in comparisons], {"paths": [_document(one) for one in comparisons]})
    count = Counter(one.verdict for one in comparisons)
    printer.say(", ".join(f"{count[verdict]} {verdict.value}" for verdict in Verdict))
    if count[Verdict.DIFFERENT]:
        context.exit(int(ExitCode.FAILED))


async def _compare(settings: Settings, store: Store, paths: Sequence[StorePath], *, rebuild: bool) -> list[Comparison]:
    from deployer.cli.building import build_settings, substituter
    from deployer.cli.store.rebuilding import second_build

    compared: dict[str, Comparison] = {}
    for info in map(store.query, paths):
        if info.ca:  # a derivation or a source: nobody can have another of that name
            compared[info.path] = Comparison(info.path, info.nar_hash, (Opinion(_CONTENT, info.nar_hash),))
    uncertain = [path for path in paths if str(path) not in compared]
    # Asked one by one, and believed unsigned: what others have is compared here, and not taken.
    alone = [dataclasses.replace(settings.build, substituters=(url,)) for url in settings.build.substituters]
    caches = [substituter(choices, check=False, remember=False) for choices in alone]
    again = second_build(store, build_settings(settings.build, check=True)) if rebuild else None
    try:
        compared |= {one.path: one for one in await challenge(store, uncertain, caches, rebuild=again)}
    finally:
        for cache in caches:
            cache.close()
    return [compared[str(path)] for path in paths]


def _sentence(comparison: Comparison) -> str:
    notes = [f"{opinion.who}: {opinion.note}" for opinion in comparison.opinions if opinion.note]
    match comparison.verdict:
        case Verdict.IDENTICAL:
            who = [opinion.who for opinion in comparison.opinions if opinion.nar_hash]
            return f"{comparison.path} identical: {', '.join(who)}"
        case Verdict.DIFFERENT:
            hashes = [("here", comparison.nar_hash), *((opinion.who, opinion.nar_hash) for opinion in comparison.differing)]
            lines = [*(f"{who}: {nar_hash}" for who, nar_hash in hashes), *notes]
            return "\n".join([f"{comparison.path} different", *(f"    {line}" for line in lines)])
    return f"{comparison.path} unknown: {'; '.join(notes)}"


def _document(comparison: Comparison) -> dict[str, JsonValue]:
    return {
        "path": comparison.path,
        "verdict": comparison.verdict.value,
        "hash": comparison.nar_hash,
        "others": {opinion.who: opinion.nar_hash for opinion in comparison.opinions if opinion.nar_hash},
        "notes": {opinion.who: opinion.note for opinion in comparison.opinions if opinion.note},
    }
