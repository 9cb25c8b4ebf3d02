"""`deployer store challenge`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter

import click

from deployer.cli.options import build_options
from deployer.cli.settings import Settings
from deployer.cli.store.challenging import Verdict, ask_caches, build_again
from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.errors import ExitCode
from deployer.store import Store


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
    named = [str(path) for path in (store.closure(found) if recursive else dict.fromkeys(found))]
    # A derivation and a source are what their content makes them: nobody can have others.
    challenged = [path for path in named if not store.query(path).ca]
    verdicts = asyncio.run(_compare(settings, store, challenged, rebuild=rebuild))
    printer = Printer(context)
    printer.answer([one.sentence for one in verdicts], {"paths": [one.document() for one in verdicts]})
    count = Counter(one.word for one in verdicts)
    printer.say(", ".join(f"{count[word]} {word}" for word in ("identical", "different", "unknown")))
    if count["different"]:
        context.exit(int(ExitCode.FAILED))


async def _compare(settings: Settings, store: Store, paths: list[str], *, rebuild: bool) -> list[Verdict]:
    from deployer.cli.building import build_settings, substituter

    # Asked one by one, and believed unsigned: what others have is compared here, and not taken.
    alone = {url: dataclasses.replace(settings.build, substituters=(url,)) for url in settings.build.substituters}
    caches = {url: substituter(choices, check=False, remember=False) for url, choices in alone.items()}
    try:
        verdicts = await ask_caches([store.query(path) for path in paths], caches, store)
    finally:
        for cache in caches.values():
            cache.close()
    if rebuild:
        await build_again(store, verdicts, build_settings(settings.build, check=True))
    return verdicts
