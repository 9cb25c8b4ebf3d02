"""`builtin:unpack`: one archive into one tree. Refuses whatever would reach out of the tree."""

from __future__ import annotations

from pathlib import Path

from deployer.build.archives import Member, members, refusing
from deployer.build.limits import Limits
from deployer.build.source_errors import ArchiveRefused
from deployer.build.tree_writer import NameRefusedError, TreeWriter, check_target, clean_name


def unpack(archive: Path, destination: Path, *, strip_components: int = 0, limits: Limits | None = None) -> None:
    """Unpack `archive` to the new directory `destination`, without the first `strip_components` of each name.

    Refused: absolute names, `..`, names that come twice, links out of the tree, names through links, devices, bombs.
    """
    seen: set[tuple[str, ...]] = set()
    written = 0
    with refusing(archive.name), TreeWriter(destination) as writer:
        for member in members(archive, limits=limits):
            try:
                parts = clean_name(member.name)[strip_components:]
                if parts:
                    if member.kind != "directory" and parts in seen:
                        raise NameRefusedError("it comes twice")
                    seen.add(parts)
                    _write(writer, member, parts, strip_components)
                    written += 1
            except NameRefusedError as refused:
                raise ArchiveRefused(archive.name, member.name, str(refused)) from None
            except FileExistsError:
                raise ArchiveRefused(archive.name, member.name, "it comes twice") from None
    if not written:
        raise ArchiveRefused(archive.name, "", f"nothing is left of it after strip_components: {strip_components}")


def _write(writer: TreeWriter, member: Member, parts: tuple[str, ...], strip_components: int) -> None:
    match member.kind:
        case "directory":
            writer.directory(parts)
        case "symlink":
            check_target(parts, member.target)
            writer.symlink(parts, member.target)
        case "hardlink":
            writer.hard_link(parts, clean_name(member.target)[strip_components:])
        case _:
            writer.file(parts, member.chunks(), executable=member.executable)
