"""`deployer store realise`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.options import build_options, dry_run_option
from deployer.cli.settings import Settings
from deployer.cli.store.errors import Misused
from deployer.cli.store.naming import find, find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.cli.store.relations import Relations
from deployer.errors import DeployerError

if TYPE_CHECKING:
    from deployer.formats import StorePath
    from deployer.store import Store


@click.command("realise")
@paths_argument
@click.option("--check", is_flag=True, help="Build again what is there, and compare.")
@click.option("--add-root", type=click.Path(path_type=Path), metavar="LINK", help="Make LINK, and keep what it leads to.")
@build_options
@dry_run_option
@store_options
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], check: bool, add_root: Path | None, dry_run: bool) -> None:
    """Make PATHs valid, and print them: build derivations, fetch other paths from the binary caches.

    Of a derivation, what it makes is printed; PATH.drv!dev means its output dev alone. What is there already costs nothing.

    Exit codes are those of nix-store: 100 a build failed, 101 it took too long, 102 a hash is not the pinned one, 104 a second
    build differs; the bits of several are or-ed.
    """
    store = open_store(context, existing=True)
    wanted = _Wanted.parse(store, paths)
    if add_root is not None:
        store.keep(path for one in wanted for path in one.outputs)
    there = store.valid(path for one in wanted for path in one.outputs)
    missing = [one for one in wanted if check or not there.issuperset(map(str, one.outputs))]
    printer = Printer(context)
    if missing and not dry_run:
        _make_all(context, store, missing, check=check)
    results = [str(path) for one in wanted for path in one.outputs]
    if dry_run:
        for one in missing:
            printer.say(f"would {'build' if one.derivation else 'fetch'} {one.derivation or one.outputs[0]}")
    elif add_root is not None:
        from deployer.cli.store.rooting import root_at

        results = [*map(str, root_at(store, add_root, results))]
    valid = store.valid(path for one in wanted for path in one.outputs)
    printer.answer(results, {"paths": [*results], "valid": [*sorted(valid)]})


class _Wanted:
    """What one argument stands for."""

    def __init__(self, derivation: StorePath | None, outputs: tuple[StorePath, ...]) -> None:
        self.derivation, self.outputs = derivation, outputs

    @classmethod
    def parse(cls, store: Store, texts: Iterable[str]) -> list[_Wanted]:
        """Each a path, a derivation, or `DERIVATION!OUTPUT,…`."""
        split = [text.partition("!") for text in texts]
        found = [(find(store, name), mark, chosen) for name, mark, chosen in split]
        find_valid(store, [str(path) for path, _, _ in found if path.name.endswith(".drv")])
        relations = Relations(store)
        return [cls._one(relations, path, chosen.split(",") if mark else None) for path, mark, chosen in found]

    @classmethod
    def _one(cls, relations: Relations, path: StorePath, names: list[str] | None) -> _Wanted:
        if not path.name.endswith(".drv"):
            if names is not None:
                raise Misused(f"{path} is not a derivation, and has no outputs to choose from")
            return cls(None, (path,))
        outputs = relations.derivation(path).outputs
        for one in names or ():
            if one not in outputs:
                raise Misused(f"{path} has no output {one!r}", f"It has {', '.join(sorted(outputs))}.")
        chosen = sorted(outputs) if names is None else names
        return cls(path, tuple(relations.parse(outputs[one].path) for one in chosen))


def _make_all(context: click.Context, store: Store, wanted: list[_Wanted], *, check: bool) -> None:
    import asyncio

    from deployer.cli.display import print_error
    from deployer.cli.store.ending import exit_code

    try:
        asyncio.run(_make(context.obj, store, wanted, check=check))
    except DeployerError as error:
        print_error(error, as_json=context.obj.as_json)
        context.exit(exit_code(error))


async def _make(settings: Settings, store: Store, wanted: Iterable[_Wanted], *, check: bool) -> None:
    from deployer.build import realise
    from deployer.cli.building import build_settings, closing_caches
    from deployer.cli.display import Display
    from deployer.cli.store.fetching import fetch

    display = Display(settings)
    with contextlib.closing(display), closing_caches(build_settings(settings.build, check=check, say=display.say)) as how:
        plain = [one.outputs[0] for one in wanted if one.derivation is None]
        await fetch(store, [path for path in plain if not store.is_valid(path)], how.substituters)
        derivations = [one.derivation for one in wanted if one.derivation is not None]
        if derivations:
            await realise(store, derivations, settings=how, on_event=display.built)
