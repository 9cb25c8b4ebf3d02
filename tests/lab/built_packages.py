"""Packages that tests deploy, locked and built beforehand: a lab has no way to a mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deployer.build import BuildSettings, realise
from deployer.generation.programs import programs_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.locking import lock_packages
from deployer.store import Store
from tests.lab.conftest import Machines


def build_packages(
    machines: Machines,
    store: Store,
    directory: Path,
    declared: Mapping[str, Any],
    *,
    on_path: Iterable[str] = (),
    also: Callable[[PackageSet], Iterable[Made]] = lambda _: (),
) -> PackageSet:
    """Declare packages in `directory`, lock them, and have them in the store.

    `on_path`: those whose starters are wanted too; `also`: what else is made of them.
    """
    file = directory / "packages.yaml"
    file.write_text(yaml.safe_dump(dict(declared)))
    machines.do(lock_packages(file))
    packages = PackageSet.load(file)
    starters = (programs_of(packages, name, store.store_dir) for name in on_path)
    made = [*starters, *(packages.made(name) for name in declared), *also(packages)]
    packages.write(store, made)
    machines.do(realise(store, [one.path for one in made], settings=BuildSettings()))
    return packages
