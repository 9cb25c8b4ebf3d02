"""`deployer run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.environments import Workbench, kept, packages_option, surroundings_options
from deployer.cli.options import build_options, store_option

if TYPE_CHECKING:
    from deployer.environments import Environment


@click.command("run")
@packages_option
@click.option("-p", "--program", metavar="PROGRAM", help="Which of its programs.  [default: the one of the package's name]")
@surroundings_options
@build_options
@store_option
@click.argument("name", metavar="NAME")
@click.argument("arguments", metavar="[-- ARGUMENT...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(
    context: click.Context,
    package_file: Path | None,
    program: str | None,
    pure: bool,
    keep: tuple[str, ...],
    base: str,
    name: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a program of a package on this machine, which needs none of its libraries.

    A package of kind `debian` is the program's /usr; home, working directory, /tmp, devices, network and terminal are this
    machine's. The exit code is the program's own; 125 where it could not be started, 126 where it can't be run, 127 where it is
    not there.
    """
    bench = Workbench(context.obj, package_file)
    environment = bench.compose([name], base=base)
    bench.have(environment.needed)
    if program:
        _exit_where_it_is_not_there(context, bench, environment, name, program)
    words = [program or bench.program(environment, name), *arguments]
    bench.become(environment, words, keep=kept(pure=pure, keep=keep))


def _exit_where_it_is_not_there(
    context: click.Context, bench: Workbench, environment: Environment, name: str, program: str
) -> None:
    from deployer.build.source_errors import ProgramUnknown
    from deployer.cli.display import print_error
    from deployer.sandbox.launcher.program import NOT_THERE

    try:
        bench.check_program(environment, name, program)
    except ProgramUnknown as error:
        print_error(error, as_json=context.obj.as_json)
        context.exit(NOT_THERE)
