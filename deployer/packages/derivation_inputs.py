"""Derivations and sources as values that know their store paths, and can be written into a store later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployer.formats import Derivation, StorePath


@dataclass(frozen=True, slots=True)
class Source:
    """A file or directory beside packages.yaml."""

    path: StorePath
    origin: Path
    ignored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Made:
    """A derivation with all that it is made from."""

    path: StorePath
    derivation: Derivation
    output: StorePath
    inputs: tuple[Made, ...]
    sources: tuple[Source, ...]
