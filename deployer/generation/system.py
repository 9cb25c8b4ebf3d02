"""A host's system: the store path that holds all of one configuration, known before anything is built."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.config.inputs import look_at_tree, unrecorded
from deployer.errors import ConfigurationError, Place, near, raise_all
from deployer.formats import StorePath
from deployer.formats.manifest import Check, EtcEntry, Manifest
from deployer.generation.declaration import Content, Declaration, declare
from deployer.generation.loaded_programs import LoadedPrograms
from deployer.generation.mentions import warnings_of_commands
from deployer.generation.programs import programs_of
from deployer.generation.root_shells import roots_without_shell
from deployer.generation.runtime import Runtime
from deployer.generation.told_commands import commands_of_units, started_commands
from deployer.generation.tree_programs import programs_without_root, started
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made, Source, make_derivation, make_source

if TYPE_CHECKING:
    from deployer.config import Config
    from deployer.store import Store

NAME: Final = "system"
ENVIRONMENT_NAME: Final = "environment"
MANIFEST: Final = "manifest.json"
_IGNORED: Final = frozenset({".git"})


class PackageNotThere(ConfigurationError):
    """`packages` names a package that does not exist."""

    name: str
    place: Place | None
    near: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no package '{self.name}'"

    @property
    def remedy(self) -> str:
        """The nearest names."""
        return f"Did you mean {' or '.join(repr(name) for name in self.near)}?" if self.near else "Declare it in packages.yaml."


@dataclass(frozen=True, slots=True)
class System:
    """What hosts of one configuration are brought to."""

    manifest: Manifest
    document: bytes
    """The manifest as it stands in the system."""
    made: Made
    """Its derivation, with all that it needs."""
    runtime: Runtime
    warnings: tuple[str, ...] = ()
    controller_checks: tuple[Check, ...] = ()
    """Those that the controller probes. They are no part of the system."""

    @property
    def output(self) -> StorePath:
        """Its store path."""
        return self.made.output


def make_system(config: Config, packages: PackageSet, runtime: Runtime) -> System:
    """The system of a configuration. Builds nothing.

    Raises `PackageNotThere`, `ProgramNeedsRoot`, `RootWithoutShell`, and what is wrong with packages.
    """
    store_dir = runtime.path.store_dir
    loaded = LoadedPrograms.of(config, packages, store_dir)
    declaration = declare(loaded, store_dir)
    of_units = tuple(commands_of_units(declaration.manifest, config))
    rootless = [command for command in of_units if not command.root]
    raise_all([*programs_without_root(rootless, config, packages), *roots_without_shell(of_units, config, packages)])
    environment = _environment(config, declaration, packages, store_dir)
    with unrecorded():  # a package is known by its output
        declared, starters = started(declaration.manifest, packages, store_dir)
    manifest = dataclasses.replace(
        declared,
        runtime=str(runtime.path),
        environment="" if environment is None else str(environment.output),
    )
    entries: list[dict[str, Any]] = [{"path": "runtime", "type": "symlink", "target": str(runtime.path)}]
    sources: list[Source] = [Source(runtime.path, Path(str(runtime.path)), frozenset())]
    if environment is not None:
        entries.append({"path": "sw", "type": "symlink", "target": str(environment.output)})
    for entry in manifest.etc:
        if entry.path in declaration.contents:
            entries.append(_entry(entry, declaration.contents[entry.path], sources, store_dir))
    inputs = (*packages.mentioned("\n".join([manifest.to_bytes().decode(), _text(entries)])), *loaded.scripts, *starters)
    manifest = dataclasses.replace(manifest, architectures=_architectures(inputs, environment))
    document = manifest.to_bytes()
    text = _text([{"path": MANIFEST, "type": "file", "text": document.decode()}, *entries])
    made = make_derivation(
        NAME,
        builder="builtin:tree",
        system="builtin",
        environment={"entries": text},
        store_dir=store_dir,
        inputs=(*inputs, *([environment] if environment is not None else [])),
        sources=tuple(sources),
    )
    used = (*inputs, *(environment.inputs if environment is not None else ()))
    of_commands = warnings_of_commands((*started_commands(declaration.manifest), *rootless), config, packages)
    warnings = (*config.warnings, *of_commands, *packages.warnings_of(used))
    return System(manifest, document, made, runtime, warnings, declaration.controller_checks)


def _text(entries: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _architectures(inputs: Sequence[Made], environment: Made | None) -> dict[str, str]:
    """What programs the host must run, and one package of each that has such. What only builds need is nothing to the host."""
    used = (*inputs, *(environment.inputs if environment is not None else ()))
    return {made.architecture: made.derivation.name for made in reversed(used) if made.architecture}


def instantiate(store: Store, system: System, packages: PackageSet) -> StorePath:
    """Write a system's derivation, and all that it needs, into a store. Returns the derivation's path."""
    system.runtime.add_to(store)
    packages.write(store, [system.made])
    return system.made.path


def _environment(config: Config, declaration: Declaration, packages: PackageSet, store_dir: str) -> Made | None:
    if not declaration.packages:
        return None
    for name in declaration.packages:
        if name not in packages.recipes:
            raise PackageNotThere(name, config.place_of("packages"), near(name, packages.names()))
    with unrecorded():  # a package is known by its output
        members = [programs_of(packages, name, store_dir) for name in declaration.packages]
    return make_derivation(
        ENVIRONMENT_NAME,
        builder="builtin:buildenv",
        system="builtin",
        environment={"paths": " ".join(str(member.output) for member in members)},
        store_dir=store_dir,
        inputs=tuple(members),
    )


def _entry(entry: EtcEntry, content: Content, sources: list[Source], store_dir: str) -> dict[str, Any]:
    path = f"etc/{entry.path}"
    if content.text is not None:
        return {"path": path, "type": "file", "text": content.text}
    if content.local is not None:
        look_at_tree(content.local)
        with unrecorded():
            source = make_source(content.local, store_dir=store_dir, ignored=_IGNORED)
        sources.append(source)
        return {"path": path, "type": "symlink", "target": str(source.path)}
    return {"path": path, "type": "symlink", "target": content.stored}
