"""`builtin:node-project` and `builtin:node-programs`: a project with its npm packages, and what starts its programs.

    node_modules/…      the project: tarballs unpacked to the places that the lock file gives them, and the files of its source

    app                 a link to the project
    bin/node, bin/NAME  a script for /bin/sh that starts Node, or a program by it, with the root tree of Node as `/usr`

Node of a distribution reads parts of itself from fixed places of `/usr`, and tells its children by which path it was started, so
its loader and libraries alone would not do. Nothing of a tarball runs while it is unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deployer.build.archives import CHUNK
from deployer.build.elf import is_elf
from deployer.build.isolated_programs import Starter
from deployer.build.limits import Limits
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused, InterpreterMissing
from deployer.build.tree_writer import NameRefusedError, TreeWriter, clean_name
from deployer.build.unpack import unpack_into

_NODE: Final = "/usr/bin/node"
_MODULES: Final = "node_modules"
_NAMES: Final = ("node", "nodejs")
_LONGEST_LINE: Final = 512


@dataclass(frozen=True, slots=True)
class NpmTarball:
    """One package: where it goes in the project, and where its file is."""

    path: str
    file: Path


@dataclass(frozen=True, slots=True)
class NodeProject:
    """What is to be unpacked."""

    tarballs: Sequence[NpmTarball]
    """Outer ones before those inside of them."""
    programs: Collection[str]
    """Files that are to be run, as paths of the project."""
    source: Path | None
    """A directory whose files are put beside `node_modules`; one in it of that name is left out, also in what is linked."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Path of each link in `node_modules` → the directory of the source that it leads to."""
    linked_programs: Mapping[str, str] = field(default_factory=dict)
    """Path of each link in a `.bin` → the file that it leads to. One without its file is left out, as npm leaves it out."""

    def make(self, destination: Path, *, limits: Limits) -> None:
        """Make `destination`. Raises `ArchiveRefused`."""
        runnable = frozenset(clean_name(name) for name in self.programs)
        with TreeWriter(destination) as writer:
            for parts, file in self._own_files():
                executable = os.access(file, os.X_OK) or parts in runnable
                with file.open("rb") as stream:
                    writer.file(parts, iter(lambda: stream.read(CHUNK), b""), executable=executable)
            for tarball in self.tarballs:
                below = clean_name(tarball.path)
                unpack_into(writer, tarball.file, below=below, strip_components=1, limits=limits, runnable=runnable)
            for place, target in sorted(self.links.items()):
                _link(writer, place, target)
            for place, target in sorted(self.linked_programs.items()):
                if os.path.lexists(destination / target):
                    _link(writer, place, target)

    def _own_files(self) -> Iterator[tuple[tuple[str, ...], Path]]:
        if self.source is None:
            return
        packages = frozenset(self.links.values())
        for directory, names, files in os.walk(self.source):
            above = Path(directory).relative_to(self.source).parts
            is_package = not above or "/".join(above) in packages
            names[:] = sorted(name for name in names if not is_package or name != _MODULES)
            for name in sorted(files):
                if not (file := Path(directory, name)).is_symlink():
                    yield (*above, name), file


def _link(writer: TreeWriter, place: str, target: str) -> None:
    """Make a link from one path of the project to another. Raises `ArchiveRefused` where something else stands there."""
    try:
        writer.symlink(clean_name(place), os.path.relpath(target, os.path.dirname(place)))
    except (NameRefusedError, FileExistsError) as refused:
        reason = "a package has brought something of that name" if isinstance(refused, FileExistsError) else str(refused)
        raise ArchiveRefused("the project", place, reason) from None


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """What is to be started."""

    logical: str
    """The store path that it will have."""
    starter: Starter
    project: str
    """The store path of the project."""
    programs: Mapping[str, str]
    """Name → file, as a path of the project. One that is not there is left out, as npm leaves it out."""

    def make(self, root: Path, project: Path, destination: Path) -> None:
        """Make `destination`; Node's tree lies at `root`. Raises `ArchiveRefused`, `InterpreterMissing`."""
        tree = RootTree(root)
        node = tree.leads_to(_NODE)
        if node is None or not node.is_file():
            raise InterpreterMissing(tree.package, _NODE, "nodejs")
        with TreeWriter(destination) as writer:
            writer.symlink(("app",), self.project)
            self._write(writer, "node", (_NODE,))
            for name, file in sorted(self.programs.items()):
                if os.path.lexists(project / file):
                    self._write(writer, name, self._command(file, RootTree(project).inside(file)))

    def _write(self, writer: TreeWriter, name: str, command: Sequence[str]) -> None:
        try:
            text = self.starter.text(*command, in_use=(self.logical,))
            writer.file(("bin", *clean_name(name)), [text.encode()], executable=True)
        except (NameRefusedError, FileExistsError) as refused:
            reason = "it comes twice" if isinstance(refused, FileExistsError) else str(refused)
            raise ArchiveRefused(self.project, name, reason) from None

    def _command(self, file: str, real: Path) -> Sequence[str]:
        """How a program is started: by Node, unless it says by its first bytes that it is for something else."""
        with real.open("rb") as stream:
            head = stream.read(_LONGEST_LINE)
        logical = f"{self.project}/{file}"
        if not head.startswith(b"#!"):
            return (logical,) if is_elf(head) else (_NODE, logical)
        interpreter, *words = head[2:].partition(b"\n")[0].decode("utf-8", "replace").split() or [""]
        if interpreter.endswith("/env"):
            interpreter, *words = [word for word in words if word != "-S"] or [""]
        return (_NODE, *words, logical) if interpreter.rpartition("/")[2] in _NAMES else (logical,)
