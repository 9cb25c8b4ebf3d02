"""From what a builder has made to valid paths: looked through, given a store's metadata, checked, and registered together.

Every engine ends here. No process that could still write must be left when `admit` is called; where that cannot be known (a
fixed output's builder had the network, and could have handed an open file to anybody), a copy is checked and registered.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deployer.build.errors import HashMismatch, OutputMissing, OutputRefused
from deployer.build.graph import Node
from deployer.build.output_checks import check_outputs
from deployer.formats import Output, StorePath
from deployer.formats.hashes import Hash
from deployer.formats.references import ReferenceScanner
from deployer.sandbox.fitness import look_through
from deployer.store import Batch, PathInfo, Store
from deployer.store.trees import canonicalise, write_nar

_COPY: Final = "-copy"


@dataclass(frozen=True, slots=True)
class Examined:
    """An output that may be registered."""

    info: PathInfo
    physical: Path


def admit(store: Store, node: Node, made: Mapping[str, Path], *, closure: Collection[StorePath]) -> None:
    """Register what was made of `node`, all outputs at once. `closure`: the paths that they may refer to, besides each other.

    `made` must stand on the store's file system, and is moved away. Raises `OutputMissing`, `OutputRefused`, `HashMismatch`,
    `ReferenceRefused`, `AttributeRefused`; then nothing is registered.
    """
    with store.batch() as batch:
        take(batch, store, node, made, closure=closure)
        batch.commit()


def take(batch: Batch, store: Store, node: Node, made: Mapping[str, Path], *, closure: Collection[StorePath]) -> None:
    """As `admit`, up to the point where only `Batch.commit` is left to be done."""
    for item in examine(store, node, made, closure=closure).values():
        batch.move(item.info, str(item.physical))


def examine(store: Store, node: Node, made: Mapping[str, Path], *, closure: Collection[StorePath]) -> dict[str, Examined]:
    """Check what was made, without registering it. The trees have a store's metadata afterwards."""
    shown = str(node.path)
    for name in node.outputs:
        if not os.path.lexists(made[name]):
            raise OutputMissing(shown, name)
        unfit = look_through(str(made[name]))
        if unfit is not None:
            raise OutputRefused(shown, f"{node.outputs[name]}{unfit.place}", unfit.reason)
    found: dict[str, Examined] = {}
    candidates = {*map(str, closure), *map(str, node.outputs.values())}
    for name, path in node.outputs.items():
        physical = made[name]
        fixed = node.derivation.outputs[name]
        if fixed.digest:
            physical = _copied(physical)
        canonicalise(str(physical), owner=os.geteuid())
        content = _check_hash(str(path), physical, fixed) if fixed.digest else ""
        info = _scan(store, str(path), physical, candidates)
        if fixed.digest and info.references:
            raise OutputRefused(shown, str(path), f"its hash is pinned, and it refers to {', '.join(info.references)}")
        found[name] = Examined(replace(info, deriver=shown, ca=content, ultimate=True), physical)
    infos = {name: item.info for name, item in found.items()}
    _refuse_cycle(shown, infos)
    check_outputs(node.attributes, infos, lambda path: _closure_sizes(store, path, infos), store.store_dir)
    return found


def _copied(made: Path) -> Path:
    copy = made.with_name(made.name + _COPY)
    if made.is_dir() and not made.is_symlink():
        shutil.copytree(made, copy, symlinks=True)
    else:
        shutil.copy2(made, copy, follow_symlinks=False)
    return copy


def _check_hash(output: str, made: Path, fixed: Output) -> str:
    """The content address of a fixed output. Raises `HashMismatch`."""
    algorithm = fixed.algorithm.removeprefix("r:")
    if fixed.algorithm.startswith("r:"):
        digest = hashlib.new(algorithm)
        write_nar(str(made), digest.update)
        found = digest.digest()
    else:
        status = os.lstat(made)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & stat.S_IXUSR:
            raise OutputRefused("", output, "its hash is that of a file's bytes, so it must be a file that is not executable")
        with made.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).digest()
    if found.hex() != fixed.digest:
        raise HashMismatch(output, Hash(algorithm, bytes.fromhex(fixed.digest)).sri, Hash(algorithm, found).sri)
    return f"fixed:{'r:' if fixed.algorithm.startswith('r:') else ''}{Hash(algorithm, found).base32}"


def _scan(store: Store, path: str, made: Path, candidates: Collection[str]) -> PathInfo:
    parts = {StorePath.parse(candidate, store.store_dir).hash_part: candidate for candidate in candidates}
    scanner, digest, size = ReferenceScanner(parts), hashlib.sha256(), 0

    def feed(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        scanner.feed(data)
        size += len(data)

    write_nar(str(made), feed)
    references = tuple(sorted(parts[part] for part in scanner.found))
    return PathInfo(path, Hash("sha256", digest.digest()).base32, size, references, ultimate=True)


def _closure_sizes(store: Store, path: str, made: Mapping[str, PathInfo]) -> dict[str, int]:
    ours = {info.path: info for info in made.values()}
    found: dict[str, int] = {}
    todo = [path]
    while todo:
        other = todo.pop()
        if other not in found:
            info = ours.get(other) or store.query(other)
            found[other] = info.nar_size
            todo.extend(info.references)
    return found


def _refuse_cycle(derivation: str, made: Mapping[str, PathInfo]) -> None:
    """Outputs that refer to each other could never be deleted, nor come one after the other in a stream."""
    left = {info.path: set(info.references) - {info.path} for info in made.values()}
    while left:
        lowest = [path for path, others in left.items() if not others & left.keys()]
        if not lowest:
            raise OutputRefused(derivation, min(left), f"it and {max(left)} refer to each other")
        for path in lowest:
            del left[path]
