"""Files that were fetched before, kept in a directory for builds that have no network: a vendor directory.

Each lies under its hash, `sha256/HEXADECIMAL`, as in the hashed mirrors of Nix, so that a web server that shows the directory
serves as well as a disk. `vendor.json` tells people which is which; nothing reads it. Files are verified when they are put there,
and again by every build that takes one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deployer.build.errors import HashMismatch
from deployer.build.fetch import sri, vendored_place
from deployer.build.graph import FETCH, Node
from deployer.build.source_errors import NotVendored
from deployer.formats import Derivation
from deployer.formats.hashes import SIZES, Hash
from deployer.packages.derivation_inputs import Made, needed_first

LIST: Final = "vendor.json"
_NAME: Final = re.compile(r"[0-9a-f]+")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class VendoredFile:
    """A file that packages fetch."""

    place: str
    """Where it lies in the directory: its algorithm and its hash."""
    name: str
    """For people."""
    url: str
    """Where it comes from otherwise."""

    @classmethod
    def of(cls, derivation: Derivation) -> VendoredFile | None:
        """What a derivation fetches; None where it fetches nothing, or where its hash is not of the file itself."""
        told = derivation.environment
        if derivation.builder != FETCH or told.get("outputHashMode", "flat") != "flat" or told.get("unpack") == "1":
            return None
        digest = Hash.parse(told["outputHash"], told.get("outputHashAlgo", ""))
        return cls(vendored_place(digest.algorithm, digest.digest), told["name"], told["url"])

    @property
    def digest(self) -> bytes:
        """What its content hashes to."""
        return bytes.fromhex(self.place.partition("/")[2])

    @property
    def algorithm(self) -> str:
        """Of its hash."""
        return self.place.partition("/")[0]

    @property
    def sri(self) -> str:
        """The hash as packages write it."""
        return sri(self.algorithm, self.digest)


@dataclass(frozen=True, slots=True)
class VendorDirectory:
    """A vendor directory on this machine. It need not exist to be asked."""

    path: Path

    def missing(self, files: Iterable[VendoredFile]) -> tuple[VendoredFile, ...]:
        """Those that are not there."""
        return tuple(file for file in files if not (self.path / file.place).is_file())

    def damaged(self, files: Iterable[VendoredFile]) -> Iterator[HashMismatch]:
        """What is wrong with those that are there and not what they ought to be. Reads all of them."""
        for file in files:
            here = self.path / file.place
            if here.is_file():
                with here.open("rb") as stream:
                    found = hashlib.file_digest(stream, file.algorithm).digest()
                if found != file.digest:
                    yield HashMismatch(str(here), file.sri, sri(file.algorithm, found))

    def stale(self, files: Iterable[VendoredFile]) -> tuple[str, ...]:
        """Places of files that lie there and are none of these; what has another form is not looked at."""
        needed = {file.place for file in files}
        found = (
            f"{algorithm}/{entry.name}"
            for algorithm, size in SIZES.items()
            for entry in sorted((self.path / algorithm).glob("*"))
            if len(entry.name) == 2 * size and _NAME.fullmatch(entry.name) and entry.is_file() and not entry.is_symlink()
        )
        return tuple(place for place in found if place not in needed)

    def add(self, file: VendoredFile, source: Path) -> None:
        """Copy a file there, whole or not at all. Raises `HashMismatch` where it is not the one that is meant."""
        target = self.path / file.place
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".new-{target.name}")
        digest = hashlib.new(file.algorithm)
        try:
            with source.open("rb") as stream, temporary.open("wb") as copy:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
            if digest.digest() != file.digest:
                raise HashMismatch(str(source), file.sri, sri(file.algorithm, digest.digest()))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, places: Iterable[str]) -> None:
        """Remove what `stale` found."""
        for place in places:
            (self.path / place).unlink(missing_ok=True)

    def write_list(self, files: Iterable[VendoredFile]) -> None:
        """Tell people what lies there, a line each: equal files give an equal list."""
        lines = [
            f"  {json.dumps({'file': file.place, 'name': file.name, 'url': file.url}, ensure_ascii=False)}"
            for file in sorted(files, key=lambda file: (file.name, file.place))
        ]
        (self.path / LIST).write_text("\n".join(["[", ",\n".join(lines), "]", ""]), encoding="utf-8")


def vendored_files(made: Iterable[Made]) -> dict[VendoredFile, Made]:
    """All that these packages and what they are made from fetch, each with what fetches it; a content is there once."""
    found: dict[str, tuple[VendoredFile, Made]] = {}
    for item in needed_first(made):
        file = VendoredFile.of(item.derivation)
        if file is not None:
            found.setdefault(file.place, (file, item))
    return dict(found.values())


def not_vendored(nodes: Iterable[Node], places: Sequence[str]) -> Iterator[NotVendored]:
    """That files are in none of the `places` (URLs), all of them in one error, where these are directories of this machine.

    What a web server has is found out when it is asked.
    """
    if not places or not all(place.startswith("file:") for place in places):
        return
    directories = [VendorDirectory(Path(unquote(urlsplit(place).path))) for place in places]
    files = [file for node in nodes if (file := VendoredFile.of(node.derivation)) is not None]
    for directory in directories:
        files = [*directory.missing(files)]
    if files:
        yield NotVendored(tuple(sorted(f"{file.name} ({file.sri}) from {file.url}" for file in files)), tuple(places))
