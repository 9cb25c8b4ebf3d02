"""`deployer develop`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from deployer.cli.environments import Workbench, kept, packages_option
from deployer.cli.options import build_options, store_option
from deployer.environments.shell_file import NAME, ShellFile


@click.command("develop")
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(NAME),
    show_default=True,
    help="What the project works with.",
)
@packages_option
@click.option("-c", "--command", "line", metavar="LINE", help="Run this line of shell, and end.")
@click.option("--pure/--impure", default=None, help="Empty the environment, or don't, whatever the file says.")
@click.option("--keep", multiple=True, metavar="NAME", help="A variable that a pure environment leaves as it is.")
@build_options
@store_option
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    package_file: Path | None,
    line: str | None,
    pure: bool | None,
    keep: tuple[str, ...],
) -> None:
    """Be in the shell that a project asks for in its shell.yaml: for developers, and for CI jobs with -c.

    What it has is kept from the store's collector until the project asks for something else.
    """
    from deployer.store.generations import add_generations

    wanted = ShellFile.read(file)
    bench = Workbench(context.obj, package_file or wanted.package_file)
    environment = bench.compose(wanted.packages, base=wanted.base, mentioned=wanted.mentioned)
    bench.have(environment.needed)
    place = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:12]
    add_generations(bench.store, {f"develop-{place}-{number}": made.output for number, made in enumerate(environment.needed)})
    is_pure = wanted.pure if pure is None else pure
    shell = bench.shell(environment, pure=is_pure)
    bench.become(
        environment,
        [shell[0], "-c", f"{wanted.on_enter}\n{line}"] if line is not None else _entered(shell, wanted.on_enter),
        keep=kept(pure=is_pure, keep=(*wanted.keep, *keep)),
        variables=wanted.variables_with(bench.packages.output_path),
    )


def _entered(shell: list[str], on_enter: str) -> list[str]:
    """The shell, after one that ran what is to be run first."""
    return [shell[0], "-c", f'{on_enter}\nexec "$@"', "deployer", *shell] if on_enter else shell
