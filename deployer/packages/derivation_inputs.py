"""Derivations and sources as values that know their store paths, and can be written into a store later."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.formats import Derivation, StorePath

if TYPE_CHECKING:
    from deployer.store import Store


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
