"""Programs of root trees that services run with all files of the host in sight: `systemd.loaded_programs`.

In the units of such a service each of these programs gives way to a script that starts it by the loader of its tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployer.generation.tree_programs import Tree, tree_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.packages.recipes import safe_name

if TYPE_CHECKING:
    from deployer.config import Config
    from deployer.errors import Place


@dataclass(frozen=True, slots=True)
class LoadedPrograms:
    """A configuration whose units start such programs by scripts. It is `Evaluated`."""

    config: Config
    units: Mapping[str, Mapping[str, Any]]
    scripts: tuple[Made, ...]
    """The packages of the scripts."""

    @classmethod
    def of(cls, config: Config, packages: PackageSet, store_dir: str) -> LoadedPrograms:
        """That of a configuration."""
        units, scripts = dict(config.get("systemd.units")), dict[str, Made]()
        for service, programs in config.get("systemd.loaded_programs").items():
            found = {program: tree for program in programs if (tree := tree_of(program, packages)) is not None}
            scripts |= {program: _script(tree, program, store_dir) for program, tree in found.items()}
            unit = units.get(f"{service}.service")
            if unit is not None:
                units[f"{service}.service"] = _changed(unit, _replacing(found, scripts))
        return cls(config, units, tuple(scripts.values()))

    def get(self, path: str) -> Any:
        """The value of an option."""
        return self.units if path == "systemd.units" else self.config.get(path)

    def place_of(self, path: str) -> Place | None:
        """Where it is defined."""
        return self.config.place_of(path)


def _changed(unit: Mapping[str, Any], replaced: Callable[[str], str]) -> dict[str, Any]:
    drop_ins = {name: replaced(text) for name, text in unit["drop_ins"].items()}
    return {**unit, "text": replaced(unit["text"]), "drop_ins": drop_ins}


def _replacing(programs: Iterable[str], scripts: Mapping[str, Made]) -> Callable[[str], str]:
    def replaced(text: str) -> str:
        for program in programs:
            script = f"{scripts[program].output}/bin/{program.rpartition('/')[2]}"
            text = re.sub(rf"{re.escape(program)}(?![\w./+-])", script, text)
        return text

    return replaced


def _script(tree: Tree, path: str, store_dir: str) -> Made:
    program = tree.inside(path)
    return make_derivation(
        safe_name(f"{tree.recipe.name}-{program.rpartition('/')[2]}-loaded"),
        builder="builtin:loaded-program",
        system="builtin",
        environment={"root": str(tree.made.output), "program": program},
        inputs=(tree.made,),
        store_dir=store_dir,
        architecture=tree.made.architecture,
    )
