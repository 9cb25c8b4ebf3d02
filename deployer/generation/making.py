"""From hosts to their systems: each configuration evaluated as seldom as can be, and what that hangs on is known."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.config.by_facts import ByFacts, Known
from deployer.config.host_view import HostView
from deployer.config.inputs import Inputs, recorded, unrecorded
from deployer.generation.programs import made_from
from deployer.generation.runtime import Runtime
from deployer.generation.system import System, make_system
from deployer.packages import PackageSet

if TYPE_CHECKING:
    from deployer.config import Evaluator


@dataclass(slots=True)
class Leant:
    """What all evaluations of one configuration together hang on, besides the facts of hosts."""

    inputs: Inputs = field(default_factory=Inputs)
    packages: set[str] = field(default_factory=set)
    """Names of the packages that were referred to."""

    def add(self, other: Leant) -> None:
        """Lean on what another does."""
        self.inputs.add(other.inputs)
        self.packages |= other.packages


class SystemMaker:
    """Makes the systems of hosts. Those whose configurations come to the same get the same `System` object."""

    def __init__(self, packages: PackageSet, runtime: Runtime, *, remembered: int | None = None) -> None:
        """`remembered` bounds how many systems of one configuration are kept for other hosts."""
        self.packages, self.runtime = packages, runtime
        self._remembered = remembered
        self._referring = _Referring(packages)
        self._leant: dict[Path, Leant] = {}
        self._made: dict[Path, ByFacts[System]] = {}

    @cached_property
    def _evaluator(self) -> Evaluator:
        """Imported when there is something to evaluate."""
        from deployer.config.evaluation import Evaluator

        return Evaluator(packages=self._referring, remembered=self._remembered)

    def make(self, host: HostView, configuration: Path) -> Known[System]:
        """A host's system, and the names of the facts that it was made from. Raises all that is wrong, together."""
        path = Path(os.path.abspath(configuration))
        made = self._made.setdefault(path, ByFacts(self._remembered))
        known = made.find(host)
        if known is not None:
            return known
        leant, evaluator = self.leant(path), self._evaluator
        self._referring.referred = leant.packages
        with recorded(leant.inputs):
            config = evaluator.evaluate(host, path)
            leant.packages.update(made_from(self.packages, {*leant.packages, *config.get("packages")}))
            system = make_system(config, self.packages, self.runtime)
        made.keep(host, config.reads, system)
        return Known(system, frozenset(config.reads))

    def leant(self, configuration: Path) -> Leant:
        """What the evaluations of a configuration so far hang on."""
        return self._leant.setdefault(Path(os.path.abspath(configuration)), Leant())


class _Referring:
    """The package set, with the names of what is referred to."""

    def __init__(self, packages: PackageSet) -> None:
        self._packages = packages
        self.referred: set[str] = set()

    def names(self) -> Collection[str]:
        return self._packages.names()

    def output_path(self, name: str) -> str:
        self.referred.add(name)
        with unrecorded():
            return self._packages.output_path(name)

    def is_tree(self, path: str) -> bool:
        return self._packages.is_tree(path)
