"""`builtin:unpack`: one archive into one tree. Refuses whatever would reach out of the tree."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from deployer.build.archives import Member, members, refusing
from deployer.build.limits import Limits
from deployer.build.source_errors import ArchiveRefused
from deployer.build.tree_writer import MAX_DEPTH, NameRefusedError, TreeWriter, check_target, clean_name


def unpack(archive: Path, destination: Path, *, strip_components: int = 0, limits: Limits | None = None) -> None:
    """Unpack `archive` to the new directory `destination`, without the first `strip_components` of each name.

    Refused: absolute names, `..`, names that come twice, links out of the tree, names through links, devices, bombs.
    """
    with TreeWriter(destination) as writer:
        unpack_into(writer, archive, strip_components=strip_components, limits=limits)


def unpack_into(
    writer: TreeWriter,
    archive: Path,
    *,
    below: tuple[str, ...] = (),
    strip_components: int = 0,
    limits: Limits | None = None,
    runnable: Collection[tuple[str, ...]] = (),
) -> None:
    """As `unpack`, to the directory `below` of a tree that is being written; no link leads out of that directory.

    `runnable`: names in the tree that are executable, whatever the archive says.
    """
    seen: set[tuple[str, ...]] = set()
    with refusing(archive.name):
        for member in members(archive, limits=limits):
            try:
                parts = clean_name(member.name)[strip_components:]
                if parts:
                    if member.kind != "directory" and parts in seen:
                        raise NameRefusedError("it comes twice")
                    if len(below) + len(parts) > MAX_DEPTH:
                        raise NameRefusedError(f"it is nested deeper than {MAX_DEPTH} directories")
                    seen.add(parts)
                    _write(writer, member, _Names(below, parts, strip_components), runnable)
            except NameRefusedError as refused:
                raise ArchiveRefused(archive.name, member.name, str(refused)) from None
            except FileExistsError:
                raise ArchiveRefused(archive.name, member.name, "it comes twice") from None
    if not seen:
        raise ArchiveRefused(archive.name, "", f"nothing is left of it after strip_components: {strip_components}")


class _Names(NamedTuple):
    """Where a member goes: a directory of the tree, and what is below that."""

    below: tuple[str, ...]
    parts: tuple[str, ...]
    strip_components: int

    @property
    def place(self) -> tuple[str, ...]:
        return (*self.below, *self.parts)

    def linked(self, target: str) -> tuple[str, ...]:
        """The place of another member."""
        return (*self.below, *clean_name(target)[self.strip_components :])


def _write(writer: TreeWriter, member: Member, names: _Names, runnable: Collection[tuple[str, ...]]) -> None:
    match member.kind:
        case "directory":
            writer.directory(names.place)
        case "symlink":
            check_target(names.parts, member.target)
            writer.symlink(names.place, member.target)
        case "hardlink":
            writer.hard_link(names.place, names.linked(member.target))
        case _:
            writer.file(names.place, member.chunks(), executable=member.executable or names.place in runnable)
