"""`deployer shell`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.environments import Workbench, kept, packages_option, surroundings_options
from deployer.cli.options import build_options, store_option


@click.command("shell")
@packages_option
@click.option("-c", "--command", "line", metavar="LINE", help="Run this line of shell, and end.")
@surroundings_options
@build_options
@store_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.pass_context
def command(
    context: click.Context,
    package_file: Path | None,
    line: str | None,
    pure: bool,
    keep: tuple[str, ...],
    base: str,
    names: tuple[str, ...],
) -> None:
    """Be in a shell that has packages, on this machine, which needs none of what they depend on.

    The first package of kind `debian` is the shell's /usr; the programs of others are on PATH, each with the libraries of its own
    package. Nothing is installed, no root is needed, and other shells see nothing of it.
    """
    bench = Workbench(context.obj, package_file)
    environment = bench.compose(names, base=base)
    bench.have(environment.needed)
    shell = bench.shell(environment, pure=pure)
    bench.become(environment, [*shell, "-c", line] if line is not None else shell, keep=kept(pure=pure, keep=keep))
