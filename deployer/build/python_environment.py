"""`builtin:python-environment`: wheels unpacked into one environment for an interpreter that lies in a root tree.

    bin/python3, bin/python      a script for /bin/sh that starts the interpreter by its own loader, with its own libraries
    bin/NAME                     the scripts of the wheels
    lib/python3.N/site-packages  their modules
    pyvenv.cfg                   what makes the interpreter take this directory for its own

Python looks for pyvenv.cfg beside the name that it is started by and one directory up, and calls that name `sys.executable`. The
loader tells it `bin/python3`. Where the loader cannot (before glibc 2.33), there is more:

    libexec/python3              a link to the interpreter: the name that it is started by
    00-executable.pth            in site-packages; sets `sys.executable` to `bin/python3`, so that children start by that

It works as an environment made by `python3 -m venv` does, on any host, whatever libraries that has. Nothing of a wheel runs
while it is unpacked, and byte code is not written.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from zipfile import ZipFile

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InvalidWheelSource
from installer.records import Hash, RecordEntry
from installer.scripts import Script
from installer.sources import WheelContentElement, WheelFile
from installer.utils import Scheme, construct_record_file, copyfileobj_with_hashing, fix_shebang

from deployer.build.archives import CHUNK, check_limits, refusing
from deployer.build.limits import Limits
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused, FilesCollide
from deployer.build.tree_writer import NameRefusedError, TreeWriter, clean_name

if TYPE_CHECKING:
    from installer.scripts import ScriptSection

_STARTER: Final = """\
#!/bin/sh
exec {command} "$@"
"""
_LINK: Final = "libexec/python3"
_EXECUTABLE: Final = "00-executable.pth"
"""Its name comes before those of wheels: what these import may remember `sys.executable`."""
_SETTINGS: Final = """\
home = {home}
include-system-site-packages = false
version = {version}
"""
_SPOOLED: Final = 1 << 24
"""Bytes of a file that are held in memory while it is hashed."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: the name that says what it is, and where its file is."""

    filename: str
    file: Path


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """What is to be made."""

    logical: str
    """The store path that it will have."""
    interpreter: str
    """The store path of the root tree with python3."""
    version: str
    """Of the interpreter, all three numbers."""
    wheels: Sequence[Wheel]
    source: Path | None
    """A directory whose modules are put beside those of the wheels."""
    needs_link: bool
    """Whether the interpreter is started by a link, as its loader cannot be told a name for it."""

    def make(self, root: Path, destination: Path, *, limits: Limits) -> None:
        """Make `destination`; Python's tree lies at `root`. Raises `InterpreterMissing`, `ArchiveRefused`, `FilesCollide`."""
        interpreter = RootTree(root)
        with TreeWriter(destination) as writer:
            tree = _Environment(writer, f"{self.logical}/bin/python3", self.version.rpartition(".")[0])
            for name, text, executable in self._own_files(interpreter, tree):
                tree.write(name, io.BytesIO(text.encode()), owner="the interpreter", executable=executable)
            writer.symlink(("bin", "python"), "python3")
            if self.needs_link:
                writer.symlink(clean_name(_LINK), interpreter.in_store(interpreter.program(), self.interpreter))
            for wheel in self.wheels:
                _unpack(wheel, tree, limits)
            if self.source is not None:
                tree.copy(self.source)

    def _own_files(self, root: RootTree, tree: _Environment) -> Iterator[tuple[str, str, bool]]:
        program = root.program()
        elf = root.elf(program)
        if elf is None:
            raise ArchiveRefused(root.directory.name, program.name, "it is no program")
        named = ["--argv0", tree.interpreter, root.in_store(program, self.interpreter)]
        command = [*root.loading(elf, self.interpreter), *([f"{self.logical}/{_LINK}"] if self.needs_link else named)]
        home = root.in_store(program.parent, self.interpreter)
        yield "bin/python3", _STARTER.format(command=" ".join(command)), True
        yield "pyvenv.cfg", _SETTINGS.format(home=home, version=self.version), False
        if self.needs_link:
            yield f"{tree.site_packages}/{_EXECUTABLE}", f"import sys; sys.executable = {tree.interpreter!r}\n", False


def _unpack(wheel: Wheel, tree: _Environment, limits: Limits) -> None:
    # What is installed is read off the file's name, which in the store is another.
    with contextlib.ExitStack() as stack:
        stack.enter_context(refusing(wheel.filename))
        archive = stack.enter_context(ZipFile(wheel.file))
        left = limits.total_bytes
        for count, entry in enumerate(archive.infolist()):
            left -= entry.file_size
            check_limits(wheel.filename, entry.filename, count, left, limits)
        archive.filename = wheel.filename
        try:
            install(_Source(archive), _Destination(tree, wheel.filename), {"INSTALLER": b"deployer\n"})
        except NameRefusedError as refused:
            raise ArchiveRefused(wheel.filename, "", str(refused)) from None
        except (InvalidWheelSource, AssertionError, KeyError, configparser.Error) as error:
            raise ArchiveRefused(wheel.filename, "", f"it is no sound wheel ({type(error).__name__}: {error})") from None


class _Source(WheelFile):
    """A wheel without the byte code that it may bring: that would depend on who made it."""

    def get_contents(self) -> Iterator[WheelContentElement]:
        """All other members."""
        return (item for item in super().get_contents() if "__pycache__" not in item[0][0].split("/"))


class _Environment:
    """The tree while it grows, and which wheel each file came from."""

    def __init__(self, writer: TreeWriter, interpreter: str, short_version: str) -> None:
        self.interpreter = interpreter
        self._writer = writer
        self._owner: dict[tuple[str, ...], str] = {}
        self.site_packages = f"lib/python{short_version}/site-packages"
        self._headers = f"include/site/python{short_version}"

    def directory_of(self, scheme: Scheme, distribution: str) -> str:
        """Where the files of a scheme go, relative to the top; the top is the empty string."""
        match scheme:
            case "scripts":
                return "bin/"
            case "data":
                return ""
            case "headers":
                return f"{self._headers}/{distribution}/"
            case _:
                return f"{self.site_packages}/"

    def write(self, name: str, stream: BinaryIO, *, owner: str, executable: bool) -> None:
        """Write a file; the same one from another wheel is taken for granted. Raises `FilesCollide`."""
        parts = clean_name(name)
        try:
            self._writer.file(parts, iter(lambda: stream.read(CHUNK), b""), executable=executable)
        except FileExistsError:
            stream.seek(0)
            if parts not in self._owner or self._writer.read_file(parts) != stream.read():
                raise FilesCollide(f"/{name}", self._owner.get(parts, "another wheel"), owner) from None
        self._owner[parts] = owner

    def copy(self, source: Path) -> None:
        """Put the files of a directory beside the modules. Links in it are left out."""
        for directory, names, files in os.walk(source):
            names[:] = sorted(name for name in names if name != "__pycache__")
            for name in sorted(files):
                path = Path(directory, name)
                if not path.is_symlink():
                    with path.open("rb") as stream:
                        target = f"{self.site_packages}/{path.relative_to(source)}"
                        self.write(target, stream, owner="the source", executable=os.access(path, os.X_OK))


class _Destination(WheelDestination):
    """Where the library that knows wheels writes the files of one."""

    def __init__(self, tree: _Environment, wheel: str) -> None:
        self._tree, self._wheel = tree, wheel
        self._distribution = wheel.partition("-")[0]

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """Write what starts an entry point."""
        if "/" in name:
            raise NameRefusedError(f"its script {name!r} has a name with a slash")
        _, text = Script(name, module, attr, section).generate(self._tree.interpreter, "posix")
        return self._write(Scheme("scripts"), name, io.BytesIO(text), is_executable=True)

    def write_file(self, scheme: Scheme, path: str | os.PathLike[str], stream: BinaryIO, is_executable: bool) -> RecordEntry:
        """Write one file; scripts get the environment's interpreter."""
        with fix_shebang(stream, self._tree.interpreter) if scheme == "scripts" else contextlib.nullcontext(stream) as content:
            # Wheels made elsewhere than on Unix do not say that their scripts are to be run.
            return self._write(scheme, os.fspath(path), content, is_executable=is_executable or scheme == "scripts")

    def finalize_installation(self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]) -> None:
        """Write the list of what was written."""
        top = self._tree.directory_of(scheme, self._distribution)

        def prefix(other: Scheme) -> str | None:
            there = self._tree.directory_of(other, self._distribution)
            return None if there == top else f"{os.path.relpath(there or '.', top)}/"

        with construct_record_file(records, prefix) as stream:
            self._write(scheme, record_file_path, stream, is_executable=False)

    def _write(self, scheme: Scheme, path: str, stream: BinaryIO, *, is_executable: bool) -> RecordEntry:
        stream.seek(0)
        with tempfile.SpooledTemporaryFile(_SPOOLED) as file:
            content = cast("BinaryIO", file)
            digest, size = copyfileobj_with_hashing(stream, content, "sha256")
            content.seek(0)
            clean_name(path)
            name = f"{self._tree.directory_of(scheme, self._distribution)}{path}"
            self._tree.write(name, content, owner=self._wheel, executable=is_executable)
        return RecordEntry(path, Hash("sha256", digest), size)
