"""`deployer store path-info`."""

from __future__ import annotations

import json

import click

from deployer.cli.store.naming import find_valid, open_store
from deployer.cli.store.options import paths_argument, store_options
from deployer.cli.store.printing import Printer
from deployer.cli.store.relations import Relations
from deployer.formats.pathrecord import Record, path_record
from deployer.formats.pathstream import PathHeader


@click.command("path-info")
@paths_argument
@click.option("-r", "--recursive", is_flag=True, help="Their closures, too.")
@click.option("-s", "--size", is_flag=True, help="The size of the NAR, in bytes.")
@click.option("-S", "--closure-size", is_flag=True, help="The size of the closure's NARs together.")
@click.option("-h", "--human-readable", "human", is_flag=True, help="Sizes as 5.7M.")
@click.option("--sigs", is_flag=True, help="Who vouches for the path: signatures, its content, or a build here.")
@store_options
@click.help_option("--help")
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    recursive: bool,
    size: bool,
    closure_size: bool,
    human: bool,
    sigs: bool,
) -> None:
    """Show what is registered of paths, as `nix path-info` prints it; with --json all of it."""
    store = open_store(context, existing=True)
    relations = Relations(store)
    named = sorted({str(path) for path in find_valid(store, paths)})
    found = relations.ordered(relations.requisites(named)) if recursive else named
    printer = Printer(context)
    if printer.as_json:
        records = [_record(relations, path, closure_size=closure_size) for path in sorted(found)]
        printer.raw(json.dumps(records, separators=(",", ":"), ensure_ascii=False) + "\n")
        return
    has_columns = size or closure_size or sigs
    width = max(map(len, found)) if has_columns else 0
    lines = []
    for path in found:
        line = path.ljust(width)
        if size:
            line += "\t" + _size(relations.info(path).nar_size, human=human)
        if closure_size:
            line += "\t" + _size(_closure_size(relations, path), human=human)
        if sigs:
            line += "\t" + " ".join(_vouchers(relations, path))
        lines.append(line)
    printer.lines(lines)


def _record(relations: Relations, path: str, *, closure_size: bool) -> Record:
    info = relations.info(path)
    header = PathHeader(path, info.nar_hash, info.nar_size, info.references, info.deriver, info.ca, info.signatures)
    return path_record(
        header,
        closure_size=_closure_size(relations, path) if closure_size else None,
        registration_time=info.registration_time,
        ultimate=info.ultimate,
    )


def _closure_size(relations: Relations, path: str) -> int:
    return sum(relations.info(one).nar_size for one in relations.closure([path]))


def _vouchers(relations: Relations, path: str) -> list[str]:
    info = relations.info(path)
    return [*(["ultimate"] if info.ultimate else []), *([f"ca:{info.ca}"] if info.ca else []), *info.signatures]


def _size(size: int, *, human: bool) -> str:
    if not human:
        return f"{size:11d}"
    number, units = float(size), " KMGTPEZY"
    at = 0
    while number > 1024 and at < len(units) - 1:
        number, at = number / 1024, at + 1
    return f"{number:6.1f}{units[at]}"
