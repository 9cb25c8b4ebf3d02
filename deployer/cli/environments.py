"""What `run`, `shell`, `develop`, `pack` and `package` share: where packages come from, having them, becoming a program."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from deployer.cli.settings import INVENTORY, STORE_DIR, Settings
from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from deployer.cli.project import Project
    from deployer.environments import Environment
    from deployer.packages import PackageSet
    from deployer.packages.derivation_inputs import Made
    from deployer.store import Store

_F = TypeVar("_F", bound=Callable[..., Any])

PACKAGES_FILE: Final = "packages.yaml"
_DIRECTORIES: Final = ("usr/local/bin", "usr/bin", "usr/sbin", "usr/games")
_SHOWN: Final = 8


class PackagesMissing(ConfigurationError):
    """There is nothing that says what packages there are."""

    @property
    def message(self) -> str:
        """What was looked for."""
        return f"there is neither an inventory nor a {PACKAGES_FILE} here"

    @property
    def remedy(self) -> str:
        """How to name one."""
        return "Name the file with --packages FILE, or the inventory with -i."


packages_option: Final = click.option(
    "--packages",
    "package_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"The packages, with deployer.lock beside them.  [default: the inventory's, else ./{PACKAGES_FILE}]",
)


def surroundings_options(function: _F) -> _F:
    """What of the caller's surroundings a program finds."""
    for option in reversed(
        (
            click.option("--pure", is_flag=True, help="Empty the environment, but for HOME, LOGNAME, TERM, TZ and USER."),
            click.option("--keep", multiple=True, metavar="NAME", help="A variable that --pure leaves as it is."),
            click.option("--base", default="", metavar="NAME", help="The root tree that is /usr.  [default: the first]"),
        )
    ):
        function = option(function)
    return function


class Workbench:
    """The packages that a command works with, and the store that they are in."""

    def __init__(self, settings: Settings, package_file: Path | None) -> None:
        """Nothing is read yet."""
        self._settings, self._file = settings, package_file

    @cached_property
    def packages(self) -> PackageSet:
        """All packages that there are. Raises `PackagesMissing`, and what is wrong with them."""
        from deployer.packages import PackageSet

        return self._project.packages if self._project else PackageSet.load(self._bare_file, store_dir=STORE_DIR)

    @property
    def file(self) -> Path | None:
        """Where the packages stand; None where the inventory has none. Raises `PackagesMissing`, and what is wrong with that."""
        return self._project.fleet.packages if self._project else self._bare_file

    @cached_property
    def _project(self) -> Project | None:
        if self._file is not None or (self._settings.inventories == (INVENTORY,) and not INVENTORY.exists()):
            return None
        from deployer.cli.project import Project

        return Project(self._settings)

    @property
    def _bare_file(self) -> Path:
        file = self._file or Path(PACKAGES_FILE)
        if self._file is None and not file.is_file():
            raise PackagesMissing
        return file

    @cached_property
    def store(self) -> Store:
        """The controller's store."""
        return self._settings.open_store()

    @property
    def store_place(self) -> str:
        """Where its paths really lie."""
        return str(self.store.layout.store.absolute())

    def compose(self, names: Sequence[str], *, base: str = "", mentioned: Iterable[str] = ()) -> Environment:
        """An environment for this machine. Raises what is wrong with it."""
        from deployer.environments import compose

        return compose(self.packages, names, machine=platform.machine(), store_dir=STORE_DIR, base=base, mentioned=mentioned)

    def have(self, wanted: Iterable[Made], *, from_network: bool = False) -> None:
        """Have packages in the store; none of them is collected while this process, or what it becomes, lives.

        `from_network`: also where this machine has vendor directories in its place, unless an option names some.
        """
        made = {item.output: item for item in wanted}
        self.store.keep(made)
        valid = self.store.valid(made)
        missing = [item for output, item in made.items() if str(output) not in valid]
        if missing:
            asyncio.run(self._realise(missing, from_network))

    async def _realise(self, missing: Sequence[Made], from_network: bool) -> None:
        from deployer.build import realise
        from deployer.build.store_paths import fetch_store_paths
        from deployer.cli.building import build_settings, closing_caches
        from deployer.cli.display import Display

        display = Display(self._settings)
        chosen = build_settings(self._settings.build, place_of=self.packages.place_of, say=display.say)
        if from_network and chosen.vendor is None:
            chosen = replace(chosen, vendor=())
        try:
            with closing_caches(chosen) as settings:
                await fetch_store_paths(self.store, self.packages, missing, settings, on_event=display.built)
                self.packages.write(self.store, missing)
                await realise(self.store, [item.path for item in missing], settings=settings, on_event=display.built)
        finally:
            display.close()

    def become(
        self,
        environment: Environment,
        command: Sequence[str],
        *,
        keep: Sequence[str] | None,
        variables: Mapping[str, str] | None = None,
    ) -> NoReturn:
        """Put the program in this process's place, surrounded by an environment that is in the store."""
        from deployer.sandbox import launcher

        spec = environment.spec(store=self.store_place, store_directory=STORE_DIR, keep=keep, variables=variables)
        sys.stdout.flush()
        sys.stderr.flush()
        # What the environment needs is named in the variables from the first moment: that keeps it from the collector.
        os.execve(
            sys.executable,
            [sys.executable, "-I", "-S", f"{launcher.DIRECTORY}/{launcher.START}", str(spec), "--", *command],
            {**os.environ, **{name: value for name, value in (spec.environment or {}).items() if name.startswith("DEPLOYER_")}},
        )

    def program(self, environment: Environment, name: str) -> str:
        """The program of a package that is in the store, as the environment has it. Raises `ProgramUnclear`."""
        from deployer.environments.composition import main_programs
        from deployer.environments.errors import ProgramUnclear

        tree = self.store.physical(self.packages.output_path(name))
        if tree.is_file():
            return self.packages.output_path(name)
        tried = main_programs(self.packages, name)
        is_base = environment.base is not None and str(environment.base.output) == self.packages.output_path(name)
        places = _DIRECTORIES if is_base else ("bin",)
        found = [program for program in tried if any(os.path.lexists(tree / place / program) for place in places)]
        everything = sorted(_names_in(tree / place for place in places))
        if not found and not is_base and len(everything) == 1:
            found = everything
        if not found:
            raise ProgramUnclear(name, tried, tuple(everything[:_SHOWN]))
        return found[0]

    def check_program(self, environment: Environment, name: str, program: str) -> None:
        """Raises `ProgramUnknown` where neither the package `name` nor the environment's root tree has the program.

        One that is named by its path, or runs by the machine's own `/usr`, is for the machine to find.
        """
        from deployer.build.source_errors import ProgramUnknown

        if environment.base is None or "/" in program:
            return
        base = self.store.physical(environment.base.output)
        others = (self.store.physical(made.output) / "bin" for made in environment.members)
        programs = _names_in([*(base / place for place in _DIRECTORIES), *others])
        if program not in programs:
            raise ProgramUnknown(name, program, programs)

    def shell(self, environment: Environment, *, pure: bool) -> list[str]:
        """The shell to be in: the user's own where the environment has it. Raises `ShellMissing`."""
        from deployer.environments.errors import ShellMissing

        own = os.path.basename(os.environ.get("SHELL", ""))
        if environment.base is None:
            return ["sh"] if pure or not own else [own]
        tree = self.store.physical(environment.base.output)
        for name in ("bash" if pure else own, "bash", "sh"):
            if name and os.path.lexists(tree / "usr/bin" / name):
                return [name, "--noprofile", "--norc"] if pure and name == "bash" else [name]
        raise ShellMissing(environment.base.output.name)


def _names_in(places: Iterable[Path]) -> set[str]:
    """What lies in directories, of those that are there."""
    return {entry.name for place in places if place.is_dir() for entry in place.iterdir()}


def named_packages(bench: Workbench, names: Iterable[str]) -> dict[str, Made]:
    """The derivations of packages, by name. Raises `PackageUnknown`."""
    from deployer.errors import near, raise_all
    from deployer.packages.errors import PackageUnknown

    names = tuple(dict.fromkeys(names))
    known = bench.packages.names()
    raise_all(PackageUnknown(name, near(name, known)) for name in names if name not in known)
    return {name: bench.packages.made(name) for name in names}


def kept(*, pure: bool, keep: Sequence[str]) -> tuple[str, ...] | None:
    """The variables that stay as they are; None: all."""
    from deployer.environments.composition import KEPT

    return (*KEPT, *keep) if pure else None
