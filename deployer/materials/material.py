"""One material, and what derivations and sources tell of theirs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from deployer.packages.derivation_inputs import Made, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One thing that a closure holds, or was built with."""

    reference: str
    """What names it in the list: its package URL, else the name of its store path."""
    name: str
    version: str = ""
    is_file: bool = False
    """Whether it is a file or directory and not a piece of software with a name."""
    package_url: str = ""
    hashes: tuple[tuple[str, str], ...] = ()
    """Algorithm (`sha256`, `sha512`) and hexadecimal digest."""
    url: str = ""
    store_path: str = ""
    runs: bool = False
    """Whether it is in the closure that hosts get, and not only what that was built with."""
    licences: tuple[str, ...] = ()
    """All of them hold."""
    needs: tuple[str, ...] = ()
    """References."""


def url_of(made: Made) -> str:
    """Where a fetched file comes from; empty for what is no such file."""
    return made.derivation.environment.get("url", "") if made.derivation.builder == "builtin:fetchurl" else ""


def hashes_of(made: Made) -> tuple[tuple[str, str], ...]:
    """The hash that a fetched file is pinned by."""
    output = made.derivation.outputs["out"]
    return ((output.algorithm, output.digest),)


def hashes_of_source(source: Source) -> tuple[tuple[str, str], ...]:
    """The hash of a file beside the packages; a directory has none."""
    return (("sha256", hashlib.sha256(source.origin.read_bytes()).hexdigest()),) if source.origin.is_file() else ()
