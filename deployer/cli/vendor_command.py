"""`deployer package vendor`."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deployer.cli.display import Display
from deployer.cli.environments import Workbench, named_packages, packages_option
from deployer.cli.options import build_options, json_option, store_option
from deployer.cli.settings import STORE_DIR
from deployer.errors import ConfigurationError, DeploymentError, raise_all

if TYPE_CHECKING:
    from deployer.build.vendor import VendorDirectory, VendoredFile
    from deployer.packages.derivation_inputs import Made

DIRECTORY: Final = "vendor"


class PruneNeedsAll(ConfigurationError):
    """`--prune` with names: the files of all other packages would go."""

    @property
    def message(self) -> str:
        """What does not go together."""
        return "--prune removes what no package needs, and only some packages are named"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Leave the names out, or --prune."


class VendorIncomplete(DeploymentError):
    """A vendor directory lacks files that packages need."""

    directory: str
    files: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return "\n".join([f"{self.directory} lacks {_files(len(self.files))}", *(f"    {file}" for file in self.files)])

    @property
    def remedy(self) -> str:
        """How to have them."""
        return f"Run 'deployer package vendor --to {self.directory}' where the network can be reached."


@click.command("vendor")
@packages_option
@build_options
@store_option
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DIRECTORY,
    show_default=True,
    metavar="DIR",
    help="Where to put them.",
)
@click.option("--prune", is_flag=True, help="Remove files that no package needs any more.")
@click.option("--check", is_flag=True, help="Change and fetch nothing: say what is missing, damaged or not needed.")
@json_option
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.pass_context
def command(
    context: click.Context, package_file: Path | None, directory: Path, prune: bool, check: bool, names: tuple[str, ...]
) -> None:
    """Put all that packages fetch into a directory, for builds without a network. Without NAME, of all packages.

    It gets every .deb, wheel, npm package and fetched file, by its hash, and the Python that is sent to hosts without one. With
    --vendor DIR or DEPLOYER_VENDOR, builds take files from it and from nowhere else. What is there already is not fetched again.
    """
    if prune and names:
        raise PruneNeedsAll
    from deployer.build.vendor import VendorDirectory, vendored_files

    bench = Workbench(context.obj, package_file)
    made = _everything(bench, names)
    files = vendored_files(made)
    there = VendorDirectory(directory)
    missing = there.missing(files)
    stale = () if names else there.stale(files)
    display = Display(context.obj)
    if check:
        _check(there, files, missing)
    else:
        _add(bench, there, {file: files[file] for file in missing})
        there.write_list(files)
        if prune:
            there.remove(stale)
    cached = [str(path) for path in bench.packages.cached_paths(made)]
    if context.obj.as_json:
        display.data(
            {
                "directory": str(directory),
                "files": len(files),
                "bytes": sum((directory / file.place).stat().st_size for file in files),
                "added": [file.name for file in missing],
                "stale": list(stale),
                "pruned": prune and not check,
                "store_paths": list(cached),
            }
        )
        return
    display.text(f"{directory}: {_files(len(files))}, {len(missing)} of them new")
    if stale:
        display.text("\n".join([f"no package needs {_files(len(stale))}{': removed' if prune and not check else ''}", *stale]))
    if cached:
        display.say("Not among them, but to be had from binary caches (deployer store copy):\n" + "\n".join(cached))


def _everything(bench: Workbench, names: Iterable[str]) -> list[Made]:
    """Packages, and the Python for hosts of the machines that they are for. Raises what is wrong with packages."""
    from deployer.packages.derivation_inputs import needed_first
    from deployer.packages.interpreter import MACHINES, interpreter

    made = [*named_packages(bench, tuple(names) or tuple(bench.packages.names())).values()]
    machines = {item.architecture for item in needed_first(made)} & MACHINES.keys() or {platform.machine()} & MACHINES.keys()
    return [*made, *(interpreter(bench.packages, machine, STORE_DIR) for machine in sorted(machines))]


def _check(there: VendorDirectory, files: Iterable[VendoredFile], missing: Sequence[VendoredFile]) -> None:
    errors: list[DeploymentError] = []
    if missing:
        names = tuple(sorted(f"{file.name} ({file.sri}) from {file.url}" for file in missing))
        errors.append(VendorIncomplete(str(there.path), names))
    raise_all([*errors, *there.damaged(files)])


def _add(bench: Workbench, there: VendorDirectory, missing: dict[VendoredFile, Made]) -> None:
    there.path.mkdir(parents=True, exist_ok=True)
    bench.have(missing.values(), from_network=True)
    for file, item in missing.items():
        there.add(file, bench.store.physical(item.output))


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"
