"""The derivations of a package of kind `npm`: the project with its packages, and apart from it what starts its programs.

The first does not know the interpreter: where only that is renewed, hosts are sent the starters and no package again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from deployer.packages.derivation_inputs import Made, Source, make_derivation
from deployer.packages.launcher_tree import IN_USE, launcher_tree
from deployer.packages.npm.selection import LockedProject
from deployer.packages.npm.tarballs import LockedTarball


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """What a project is made from, besides its lock file."""

    root: Made
    """The root tree with Node."""
    python: Made
    """What the launcher runs on."""
    source: Source | None
    fetch: Callable[[LockedTarball], Made]


def environment_of(full_name: str, project: LockedProject, inputs: NodeInputs, *, store_dir: str) -> Made:
    """The derivation whose `bin` has Node and the programs, and whose `app` is the project."""
    modules = _modules(full_name, project, inputs, store_dir)
    launcher = launcher_tree(store_dir)
    return make_derivation(
        full_name,
        builder="builtin:node-programs",
        system="builtin",
        environment={
            "root": str(inputs.root.output),
            "python": str(inputs.python.output),
            "launcher": str(launcher.output),
            "variable": IN_USE,
            "project": str(modules.output),
            "programs": json.dumps(dict(project.programs), sort_keys=True),
        },
        inputs=(inputs.root, inputs.python, launcher, modules),
        store_dir=store_dir,
        architecture=inputs.root.architecture,
    )


def _modules(full_name: str, project: LockedProject, inputs: NodeInputs, store_dir: str) -> Made:
    fetched = [(tarball, inputs.fetch(tarball)) for tarball in project.tarballs]
    packages = [{"path": tarball.path, "file": str(made.output)} for tarball, made in fetched]
    environment = {
        "packages": json.dumps(packages, sort_keys=True),
        "programs": json.dumps(project.runnable),
    }
    if project.links:
        environment["links"] = json.dumps(dict(project.links), sort_keys=True)
    if project.linked_programs:
        environment["linked_programs"] = json.dumps(dict(project.linked_programs), sort_keys=True)
    if inputs.source is not None:
        environment["source"] = str(inputs.source.path)
    # One tarball may lie in several places.
    once = {str(made.output): made for _, made in fetched}
    return make_derivation(
        f"{full_name}-project",
        builder="builtin:node-project",
        system="builtin",
        environment=environment,
        inputs=tuple(once.values()),
        sources=() if inputs.source is None else (inputs.source,),
        store_dir=store_dir,
    )
