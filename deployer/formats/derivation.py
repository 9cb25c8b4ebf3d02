"""Derivations: ATerm `.drv` files, read and written, and the hashes that output paths are made from."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Final, Iterable, List, Mapping, Tuple

from deployer.errors import DeploymentError
from deployer.formats.storepath import STORE_DIR, StorePath, make_fixed_output_path, make_output_path, make_text_path

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(eq=False)
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
        """The ATerm, as Nix writes it."""
        return self._unparse({path: self.input_derivations[path] for path in self.input_derivations})

    def _unparse(self, inputs: Mapping[str, Iterable[str]], *, masked: bool = False) -> str:
        outputs = [
            _tuple(_string(name), _string("" if masked else out.path), _string(out.algorithm), _string(out.digest))
            for name, out in sorted(self.outputs.items())
        ]
        drvs = [_tuple(_string(path), _list(_string(name) for name in sorted(set(inputs[path])))) for path in sorted(inputs)]
        environment = [
            _tuple(_string(key), _string("" if masked and key in self.outputs else value))
            for key, value in sorted(self.environment.items())
        ]
        return "Derive" + _tuple(
            _list(outputs),
            _list(drvs),
            _list(_string(path) for path in sorted(set(self.input_sources))),
            _string(self.system),
            _string(self.builder),
            _list(_string(argument) for argument in self.arguments),
            _list(environment),
        )

    def path(self, store_dir: str = STORE_DIR) -> StorePath:
        """Where the `.drv` itself stands."""
        references = [StorePath.parse(text, store_dir) for text in {*self.input_derivations, *self.input_sources}]
        return make_text_path(self.name + ".drv", self.serialize().encode(), references, store_dir)

    @classmethod
    def parse(cls, text: str, name: str) -> Derivation:
        """Read an ATerm. Raises `DerivationRefused`."""
        try:
            return _Reader(text).derivation(name)
        except (IndexError, ValueError, KeyError) as error:
            raise DerivationRefused(name, str(error) or "it ends too early") from None


HashOfDerivation = Callable[[str], str]
"""From the path of a `.drv` to `hash_modulo` of it (hexadecimal). Memoised by the caller."""


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
        masked = bytes.fromhex(_hash(derivation, hash_of, masked=True))
        paths = {name: make_output_path(name, masked, derivation.name, store_dir) for name in derivation.outputs}
    return dataclasses.replace(
        derivation,
        outputs={name: dataclasses.replace(out, path=str(paths[name])) for name, out in derivation.outputs.items()},
        environment={**derivation.environment, **{name: str(path) for name, path in paths.items()}},
    )


def _hash(derivation: Derivation, hash_of: HashOfDerivation, *, masked: bool) -> str:
    inputs: Dict[str, List[str]] = {}
    for path, names in derivation.input_derivations.items():
        inputs.setdefault(hash_of(path), []).extend(names)
    return hashlib.sha256(derivation._unparse(inputs, masked=masked).encode()).hexdigest()


def _string(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def _list(items: Iterable[str]) -> str:
    return "[" + ",".join(items) + "]"


def _tuple(*items: str) -> str:
    return "(" + ",".join(items) + ")"


class _Reader:
    """A cursor over an ATerm."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def derivation(self, name: str) -> Derivation:
        self._expect("Derive(")
        outputs = {key: Output(*rest) for key, *rest in self._list(lambda: self._tuple(4))}
        self._expect(",")
        drvs = dict(self._list(self._input))
        self._expect(",")
        sources = tuple(self._list(self._string))
        self._expect(",")
        system = self._string()
        self._expect(",")
        builder = self._string()
        self._expect(",")
        arguments = tuple(self._list(self._string))
        self._expect(",")
        environment = dict(tuple(pair) for pair in self._list(lambda: self._tuple(2)))
        self._expect(")")
        if self._at != len(self._text):
            raise ValueError("something follows it")
        return Derivation(name, outputs, drvs, sources, system, builder, arguments, environment)

    def _expect(self, token: str) -> None:
        if not self._text.startswith(token, self._at):
            raise ValueError(f"{token!r} is missing at byte {self._at}")
        self._at += len(token)

    def _list(self, item: Callable[[], object]) -> List[Any]:
        self._expect("[")
        items: List[Any] = []
        while not self._text.startswith("]", self._at):
            if items:
                self._expect(",")
            items.append(item())
        self._at += 1
        return items

    def _tuple(self, size: int) -> List[str]:
        self._expect("(")
        items: List[str] = []
        for index in range(size):
            if index:
                self._expect(",")
            items.append(self._string())
        self._expect(")")
        return items

    def _input(self) -> Tuple[str, Tuple[str, ...]]:
        self._expect("(")
        path = self._string()
        self._expect(",")
        names = tuple(self._list(self._string))
        self._expect(")")
        return path, names

    def _string(self) -> str:
        self._expect('"')
        pieces: List[str] = []
        while True:
            end = self._text.index('"', self._at)
            slash = self._text.find("\\", self._at, end)
            if slash < 0:
                pieces.append(self._text[self._at : end])
                self._at = end + 1
                return "".join(pieces)
            pieces.append(self._text[self._at : slash])
            letter = self._text[slash + 1]
            pieces.append(_UNESCAPES.get(letter, letter))
            self._at = slash + 2
