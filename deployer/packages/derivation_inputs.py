"""Derivations and sources as values that know their store paths, and can be written into a store later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.formats.storepath import make_source_path


@dataclass(frozen=True, slots=True)
class Source:
    """A file or directory beside packages.yaml, or a store path that a binary cache has."""

    path: StorePath
    origin: Path
    ignored: frozenset[str]
    is_cached: bool = False
    """Whether it comes from a binary cache, and not from `origin`."""


@dataclass(frozen=True, slots=True)
class Made:
    """A derivation with all that it is made from."""

    path: StorePath
    derivation: Derivation
    modulo: str
    """What it is to those that depend on it."""
    inputs: tuple[Made, ...] = field(repr=False)
    sources: tuple[Source, ...] = ()
    architecture: str = ""
    """What its programs are for, as uname(2) names it; empty where that is known of none."""

    @property
    def output(self) -> StorePath:
        """The path of its only output."""
        return StorePath.parse(self.derivation.outputs["out"].path, self.path.store_dir)

    @property
    def lasting_inputs(self) -> tuple[Made, ...]:
        """The inputs that what is made may refer to: all but the toolchain of a build, which sees it as `/usr`."""
        environment = self.derivation.environment
        toolchain = environment.get("toolchain", "")
        is_input_too = toolchain in environment.get("inputs", "").split()
        return tuple(needed for needed in self.inputs if is_input_too or str(needed.output) != toolchain)


def make_source(path: Path, *, store_dir: str, ignored: frozenset[str]) -> Source:
    """Hash a file or directory."""
    from deployer.store.trees import nar_hash

    digest, _ = nar_hash(str(path), ignored=ignored)
    return Source(make_source_path(path.name, digest, (), store_dir), path, ignored)


def make_derivation(
    name: str,
    *,
    builder: str,
    system: str,
    environment: Mapping[str, str],
    store_dir: str,
    arguments: tuple[str, ...] = (),
    inputs: tuple[Made, ...] = (),
    sources: tuple[Source, ...] = (),
    fixed: tuple[str, bytes] | None = None,
    architecture: str = "",
) -> Made:
    """A derivation with one output. `fixed`: algorithm and digest of the flat file that it is."""
    output = Output("", fixed[0], fixed[1].hex()) if fixed else Output()
    pinned = {"outputHashAlgo": fixed[0], "outputHash": fixed[1].hex(), "outputHashMode": "flat"} if fixed else {}
    known = {str(item.path): item for item in inputs}
    draft = Derivation(
        name=name,
        outputs={"out": output},
        input_derivations=dict.fromkeys(known, ("out",)),
        input_sources=tuple(sorted({str(source.path) for source in sources})),
        system=system,
        builder=builder,
        arguments=arguments,
        environment={**environment, **pinned, "name": name, "builder": builder, "system": system, "out": ""},
    )

    def hash_of(path: str) -> str:
        return known[path].modulo

    derivation = with_output_paths(draft, hash_of, store_dir)
    return Made(
        derivation.path(store_dir), derivation, hash_modulo(derivation, hash_of), tuple(known.values()), sources, architecture
    )


def needed_first(made: Iterable[Made], *, lasting: bool = False) -> list[Made]:
    """Derivations and all that they need, each once, in an order in which they can be written. `lasting`: but for toolchains."""
    done: dict[str, Made] = {}
    todo = [(item, False) for item in made]
    while todo:
        item, ready = todo.pop()
        if str(item.path) in done:
            continue
        if ready:
            done[str(item.path)] = item
            continue
        todo.append((item, True))
        todo.extend((needed, False) for needed in (item.lasting_inputs if lasting else item.inputs))
    return list(done.values())
