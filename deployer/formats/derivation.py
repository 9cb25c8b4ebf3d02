"""Derivations: ATerm `.drv` files, read and written, and the hashes that output paths are made from."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from typing import Callable, Dict, Final, Iterable, List, Mapping, Tuple, Union

from deployer.errors import DeploymentError
from deployer.formats import aterm, base32
from deployer.formats.aterm import write_list as _list
from deployer.formats.aterm import write_raw as _raw
from deployer.formats.aterm import write_string as _string
from deployer.formats.aterm import write_tuple as _tuple
from deployer.formats.hashes import SIZES
from deployer.formats.storepath import (
    STORE_DIR,
    StorePath,
    StorePathRefused,
    make_fixed_output_path,
    make_output_path,
    make_text_path,
)

_HEXADECIMAL: Final = re.compile("[0-9a-f]*")


class DerivationRefused(DeploymentError):
    """A file that should hold a derivation does not."""

    name: str
    reason: str

    @property
    def message(self) -> str:
        """Why not."""
        return f"the derivation {self.name} is malformed: {self.reason}"


@dataclass(frozen=True)
class Output:
    """One output of a derivation."""

    path: str = ""
    algorithm: str = ""
    """`sha256`, `r:sha256`, … where the output is fixed."""
    digest: str = ""
    """Hexadecimal, where the output is fixed."""


@dataclass(frozen=True)
class Derivation:
    """What is built, by which program, from what."""

    name: str
    outputs: Mapping[str, Output]
    input_derivations: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Path of a `.drv` to the names of its outputs that are used."""
    input_sources: Tuple[str, ...] = ()
    system: str = ""
    builder: str = ""
    arguments: Tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_fixed(self) -> bool:
        """Whether the output's hash is known beforehand."""
        return set(self.outputs) == {"out"} and bool(self.outputs["out"].digest)

    def serialize(self) -> str:
        """The ATerm, as Nix writes it. Raises `ValueError` for what Nix can't write: a quote in the name of a system."""
        return self._unparse(self.input_derivations)

    def to_bytes(self) -> bytes:
        """The file, as Nix writes it. Raises `DerivationRefused` for a text that no bytes stand for."""
        return self._encoded(self.input_derivations)

    def _encoded(self, inputs: Mapping[str, Iterable[str]], *, masked: bool = False) -> bytes:
        try:
            return aterm.to_bytes(self._unparse(inputs, masked=masked))
        except ValueError as error:
            raise DerivationRefused(self.name, str(error)) from None

    def _unparse(self, inputs: Mapping[str, Iterable[str]], *, masked: bool = False) -> str:
        outputs = [
            _tuple(*map(_raw, (name, "" if masked else output.path, output.algorithm, output.digest)))
            for name, output in ((name, self.outputs[name]) for name in _sorted(self.outputs))
        ]
        drvs = [_tuple(_raw(path), _list(map(_raw, _sorted(set(inputs[path]))))) for path in _sorted(inputs)]
        environment = [
            _tuple(_string(key), _string("" if masked and key in self.outputs else self.environment[key]))
            for key in _sorted(self.environment)
        ]
        return "Derive" + _tuple(
            _list(outputs),
            _list(drvs),
            _list(map(_raw, _sorted(set(self.input_sources)))),
            _raw(self.system),
            _string(self.builder),
            _list(map(_string, self.arguments)),
            _list(environment),
        )

    def path(self, store_dir: str = STORE_DIR) -> StorePath:
        """Where the `.drv` itself stands."""
        references = [StorePath.parse(text, store_dir) for text in {*self.input_derivations, *self.input_sources}]
        return make_text_path(self.name + ".drv", self.to_bytes(), references, store_dir)

    @classmethod
    def parse(cls, text: Union[str, bytes], name: str, store_dir: str = "") -> Derivation:
        """Read a file, or its text. Raises `DerivationRefused` for whatever Nix would not write.

        Where the store's directory is given, every path must be of that store.
        """
        try:
            return _Reader(aterm.from_bytes(text) if isinstance(text, bytes) else text, store_dir).derivation(name)
        except (ValueError, StorePathRefused) as error:
            raise DerivationRefused(name, str(error)) from None


HashOfDerivation = Callable[[str], str]
"""From the path of a `.drv` to `hash_modulo` of it (hexadecimal). Memoised by the caller."""


def placeholder(output: str) -> str:
    """What stands for an output's path where that is not known yet (Nix: `hashPlaceholder`)."""
    return f"/{base32.encode(hashlib.sha256(f'nix-output:{output}'.encode()).digest())}"


def hash_modulo(derivation: Derivation, hash_of: HashOfDerivation) -> str:
    """What a derivation is to those that depend on it (Nix: `hashDerivationModulo`), hexadecimal."""
    if derivation.is_fixed:
        out = derivation.outputs["out"]
        return hashlib.sha256(f"fixed:out:{out.algorithm}:{out.digest}:{out.path}".encode()).hexdigest()
    return _hash(derivation, hash_of, masked=False)


def with_output_paths(derivation: Derivation, hash_of: HashOfDerivation, store_dir: str = STORE_DIR) -> Derivation:
    """The derivation with the paths of its outputs filled in, in `outputs` and in the environment."""
    if derivation.is_fixed:
        out = derivation.outputs["out"]
        recursive = out.algorithm.startswith("r:")
        algorithm = out.algorithm[2:] if recursive else out.algorithm
        digest = bytes.fromhex(out.digest)
        paths = {"out": make_fixed_output_path(derivation.name, algorithm, digest, store_dir, recursive=recursive)}
    else:
        named = {**derivation.environment, **dict.fromkeys(derivation.outputs, "")}
        masked = bytes.fromhex(_hash(dataclasses.replace(derivation, environment=named), hash_of, masked=True))
        paths = {name: make_output_path(name, masked, derivation.name, store_dir) for name in derivation.outputs}
    return dataclasses.replace(
        derivation,
        outputs={name: dataclasses.replace(out, path=str(paths[name])) for name, out in derivation.outputs.items()},
        environment={**derivation.environment, **{name: str(path) for name, path in paths.items()}},
    )


def check_output_paths(derivation: Derivation, hash_of: HashOfDerivation, store_dir: str = STORE_DIR) -> None:
    """See that a derivation claims no paths but its own: a forged one could stand at another's. Raises `DerivationRefused`."""
    right = with_output_paths(derivation, hash_of, store_dir)
    for name, output in right.outputs.items():
        if derivation.outputs[name] != output:
            raise DerivationRefused(derivation.name, f"its output {name} belongs at {output.path}")
        if derivation.environment.get(name) != output.path:
            raise DerivationRefused(derivation.name, f"its variable {name} is not {output.path}")


def _hash(derivation: Derivation, hash_of: HashOfDerivation, *, masked: bool) -> str:
    inputs: Dict[str, List[str]] = {}
    for path, names in derivation.input_derivations.items():
        inputs.setdefault(hash_of(path), []).extend(names)
    return hashlib.sha256(derivation._encoded(inputs, masked=masked)).hexdigest()


def _sorted(texts: Iterable[str]) -> List[str]:
    """As Nix sorts: by their bytes."""
    return sorted(texts, key=aterm.to_bytes)


class _Reader(aterm.Reader):
    """Reads what `Derivation.serialize` writes, and nothing else. Nix takes other orders and escapes too, and writes none."""

    def __init__(self, text: str, store_dir: str) -> None:
        super().__init__(text)
        self._store_dir = store_dir

    def derivation(self, name: str) -> Derivation:
        self.expect("Derive(")
        outputs = self.map(self._output, "the output")
        if not outputs:
            raise ValueError("it has no output")
        if any(output.digest for output in outputs.values()) and set(outputs) != {"out"}:
            raise ValueError("its output is fixed, and is not `out` alone")
        self.expect(",")
        derivations = self.map(self._input, "the derivation")
        self.expect(",")
        sources = tuple(self.set("the source"))
        for path in (*derivations, *sources):
            self._check_path(path)
        self.expect(",")
        system = self.raw()
        self.expect(",")
        builder = self.string()
        self.expect(",")
        arguments = tuple(self.strings())
        self.expect(",")
        environment = self.map(self._pair, "the variable")
        self.expect(")")
        self.end()
        return Derivation(name, outputs, derivations, sources, system, builder, arguments, environment)

    def _output(self) -> Tuple[str, Output]:
        name, path, algorithm, digest = self.raw_tuple(4)
        self._check_path(path)
        if algorithm or digest:
            size = SIZES.get(algorithm[2:] if algorithm.startswith("r:") else algorithm)
            if size is None:
                raise ValueError(f"{algorithm[:80]!r} is not a way to hash")
            if not (len(digest) == 2 * size and _HEXADECIMAL.fullmatch(digest)):
                raise ValueError(f"{digest[:200]!r} is not a hash of {algorithm} in hexadecimal digits")
        return name, Output(path, algorithm, digest)

    def _input(self) -> Tuple[str, Tuple[str, ...]]:
        self.expect("(")
        path = self.raw()
        self.expect(",")
        names = tuple(self.set("the output"))
        self.expect(")")
        return path, names

    def _pair(self) -> Tuple[str, str]:
        key, value = self.tuple(2)
        return key, value

    def _check_path(self, path: str) -> None:
        if not path.startswith("/"):
            # Empty where a path is known only after a build: content-addressed derivations, which Nix has as an experiment.
            raise ValueError(f"{path[:200]!r} is not an absolute path")
        if self._store_dir:
            StorePath.parse(path, self._store_dir)
