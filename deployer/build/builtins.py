"""The builders that run in our own process: no script of anyone's runs in them, so they need no sandbox.

builtin:fetchurl     `url`, `outputHash…`, `executable`, `unpack` (a NAR, or an archive without its top directory): as Nix's
builtin:unpack       `src`, `strip_components`: the tree in an archive
builtin:tree         `entries`: a JSON list of {path, type: file|symlink|directory, text|source, target, executable}
builtin:buildenv     `paths`: a forest of links to the files of these trees
builtin:debian-root  `debs`: a JSON list of {name, file}; `links`: a JSON object of name → target; `completion`: what scripts of
                     packages would have made; `locales`: a JSON object of name → compiled locale;
                     `omit`: words for what of the packages is left out
builtin:charmap      `root`: a Debian root with `locales` in it; `locale`: the character map that one is compiled by
builtin:isolated-programs  `root`, `python`, `launcher`, `variable`; `debs` as above, `programs`: starters for programs of a root
builtin:loaded-program  `root`: a Debian root; `program`: a path in it, which is started by its loader
builtin:python-environment  `interpreter`: a Debian root with python3 in it; `version`; `wheels`: a JSON list of {name, file};
                     `source`: a directory of modules; `needs_link`: whether its loader has no `--argv0`
builtin:node-project  `packages`: a JSON list of {path, file}; `programs`: a JSON list of files to be run; `source`: a directory;
                     `links`, `linked_programs`: JSON objects of path → path: links to directories, and to files that may be there
builtin:node-programs  `root`: a Debian root with node in it; `project`: of the above; `programs`: a JSON object of name → file;
                     `python`, `launcher`, `variable`
builtin:host-python  `root`: a Debian root with python3 in it; what hosts without Python are sent
"""

from __future__ import annotations

import contextlib
import json
import lzma
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from deployer.build.archives import CHUNK, refusing
from deployer.build.charmap import charmap
from deployer.build.debian_root import Deb, debian_root
from deployer.build.engine import Progress
from deployer.build.errors import BuilderUnknown
from deployer.build.fetch import Fetch
from deployer.build.forest import build_forest
from deployer.build.host_python import host_python
from deployer.build.isolated_programs import Starter, isolated_programs
from deployer.build.loaded_program import LoadedProgram
from deployer.build.node_environment import NodePrograms, NodeProject, NpmTarball
from deployer.build.settings import BuildSettings
from deployer.build.source_errors import ArchiveRefused
from deployer.build.tree_writer import NameRefusedError, TreeWriter, clean_name
from deployer.build.unpack import unpack
from deployer.formats.hashes import Hash
from deployer.formats.nar import MAGIC, NarReader, token
from deployer.store.trees import Unpacker

_NAR: Final = token(MAGIC)
_XZ: Final = b"\xfd7zXZ\0"


@dataclass(frozen=True, slots=True)
class BuiltinJob:
    """One run of a builtin builder."""

    derivation: str
    builder: str
    environment: Mapping[str, str]
    physical: Callable[[str], Path]
    """Where a store path really is."""
    destination: Path
    """What to make; it does not exist yet."""
    scratch: Path
    """A directory for whatever is needed on the way."""
    settings: BuildSettings
    mirrors: Callable[[], Mapping[str, Sequence[str]]]
    progress: Progress
    cancelled: threading.Event
    vendor: Callable[[], Sequence[str]] = tuple
    """URLs of vendor directories."""

    def run(self) -> None:
        """Make the destination. Raises errors of this room."""
        builder = _BUILDERS.get(self.builder)
        if builder is None:
            raise BuilderUnknown(self.derivation, self.builder)
        builder(self)


def _fetchurl(job: BuiltinJob) -> None:
    environment = job.environment
    url = environment["url"]
    recursive = environment.get("outputHashMode") == "recursive"
    unpacked = environment.get("unpack") == "1"
    algorithm = environment.get("outputHashAlgo") or environment["outputHash"].partition("-")[0].partition(":")[0]
    file = job.scratch / "file" if unpacked else job.destination
    vendor = job.vendor()
    Fetch(
        url=url,
        destination=file,
        algorithm=algorithm,
        digest=None if recursive else Hash.parse(environment["outputHash"], algorithm).digest,
        mirrors=job.mirrors() if url.startswith("mirror:") and not vendor else {},
        limits=job.settings.fetch_limits,
        progress=job.progress,
        cancelled=job.cancelled,
        vendor=vendor,
    ).run()
    if unpacked:
        if not _restore_nar(file, job.destination, job.settings.unpack_limits.total_bytes):
            unpack(file, job.destination, strip_components=1, limits=job.settings.unpack_limits)
    elif environment.get("executable") == "1":
        file.chmod(0o755)


def _restore_nar(file: Path, destination: Path, most: int) -> bool:
    """What Nix unpacks: a NAR, perhaps compressed by xz. False where it is something else."""
    with file.open("rb") as head:
        packed = head.read(len(_XZ)) == _XZ
    with cast("BinaryIO", lzma.open(file) if packed else file.open("rb")) as stream:
        with contextlib.suppress(lzma.LZMAError, EOFError):
            if stream.read(len(_NAR)) != _NAR:
                return False
        stream.seek(0)
        sink = Unpacker(str(destination), str)

        def read(size: int) -> bytes:
            data = stream.read(size)
            if len(data) != size:
                raise ArchiveRefused(file.name, "", "it ends too early")
            if stream.tell() > most:
                raise ArchiveRefused(file.name, "", f"it unpacks to more than {most} bytes")
            return data

        with refusing(file.name):
            NarReader(read, sink, lambda _: None).tree()
        sink.finish()
    return True


def _unpack(job: BuiltinJob) -> None:
    strip = int(job.environment.get("strip_components", "0"))
    unpack(job.physical(job.environment["src"]), job.destination, strip_components=strip, limits=job.settings.unpack_limits)


def _tree(job: BuiltinJob) -> None:
    entries: list[dict[str, Any]] = json.loads(job.environment["entries"])
    if [entry["path"] for entry in entries] == [""] and entries[0]["type"] != "directory":
        _only_entry(job, entries[0])
        return
    with TreeWriter(job.destination) as writer:
        for entry in entries:
            try:
                parts = clean_name(entry["path"])
                match entry["type"]:
                    case "directory":
                        writer.directory(parts)
                    case "symlink":
                        writer.symlink(parts, entry["target"])
                    case "file":
                        writer.file(parts, _content(job, entry), executable=bool(entry.get("executable")))
                    case other:
                        raise NameRefusedError(f"there is no type {other!r}")
            except (NameRefusedError, FileExistsError) as refused:
                reason = "it comes twice" if isinstance(refused, FileExistsError) else str(refused)
                raise ArchiveRefused(f"of entries of {job.derivation}", entry["path"], reason) from None


def _only_entry(job: BuiltinJob, entry: Mapping[str, Any]) -> None:
    if entry["type"] == "symlink":
        job.destination.symlink_to(entry["target"])
        return
    with job.destination.open("xb") as file:
        for chunk in _content(job, entry):
            file.write(chunk)
    job.destination.chmod(0o755 if entry.get("executable") else 0o644)


def _content(job: BuiltinJob, entry: Mapping[str, Any]) -> Iterator[bytes]:
    if "source" not in entry:
        yield str(entry.get("text", "")).encode()
        return
    with job.physical(entry["source"]).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _buildenv(job: BuiltinJob) -> None:
    logical = {job.physical(path): path for path in job.environment["paths"].split()}
    build_forest(logical, logical, job.destination)


def _debian_root(job: BuiltinJob) -> None:
    debs = [Deb(item["name"], job.physical(item["file"])) for item in json.loads(job.environment["debs"])]
    links: dict[str, str] = json.loads(job.environment.get("links", "{}"))
    locales = {name: job.physical(path) for name, path in json.loads(job.environment.get("locales", "{}")).items()}
    debian_root(
        debs,
        job.destination,
        links=links,
        completed=bool(job.environment.get("completion")),
        locales=locales,
        omitted=job.environment.get("omit", "").split(),
        scratch=job.scratch,
        threads=job.settings.cores,
    )


def _charmap(job: BuiltinJob) -> None:
    root, locale = job.physical(job.environment["root"]), job.environment["locale"]
    charmap(root, locale, job.destination, limits=job.settings.unpack_limits)


def _isolated_programs(job: BuiltinJob) -> None:
    own = [Deb(item["name"], job.physical(item["file"])) for item in json.loads(job.environment["debs"])]
    starter = _starter(job)
    isolated_programs(job.physical(starter.root), own, job.environment["programs"].split(), starter, job.destination)


def _starter(job: BuiltinJob) -> Starter:
    return Starter(**{name: job.environment[name] for name in ("root", "python", "launcher", "variable")})


def _loaded_program(job: BuiltinJob) -> None:
    program = LoadedProgram(job.environment["root"], job.environment["program"])
    program.make(job.physical(program.root), job.destination)


def _python_environment(job: BuiltinJob) -> None:
    # Its libraries are needed by few builds only.
    from deployer.build.python_environment import PythonEnvironment, Wheel

    environment = job.environment
    source = environment.get("source")
    PythonEnvironment(
        logical=environment["out"],
        interpreter=environment["interpreter"],
        version=environment["version"],
        wheels=[Wheel(item["name"], job.physical(item["file"])) for item in json.loads(environment["wheels"])],
        source=job.physical(source) if source else None,
        needs_link=bool(environment.get("needs_link")),
    ).make(job.physical(environment["interpreter"]), job.destination, limits=job.settings.unpack_limits)


def _node_project(job: BuiltinJob) -> None:
    environment = job.environment
    source = environment.get("source")
    NodeProject(
        tarballs=[NpmTarball(item["path"], job.physical(item["file"])) for item in json.loads(environment["packages"])],
        programs=json.loads(environment["programs"]),
        source=job.physical(source) if source else None,
        links=json.loads(environment.get("links", "{}")),
        linked_programs=json.loads(environment.get("linked_programs", "{}")),
    ).make(job.destination, limits=job.settings.unpack_limits)


def _node_programs(job: BuiltinJob) -> None:
    environment = job.environment
    starter, project = _starter(job), environment["project"]
    programs = NodePrograms(environment["out"], starter, project, json.loads(environment["programs"]))
    programs.make(job.physical(starter.root), job.physical(project), job.destination)


def _host_python(job: BuiltinJob) -> None:
    host_python(job.physical(job.environment["root"]), job.destination)


_BUILDERS: Final[Mapping[str, Callable[[BuiltinJob], None]]] = {
    "builtin:fetchurl": _fetchurl,
    "builtin:unpack": _unpack,
    "builtin:tree": _tree,
    "builtin:buildenv": _buildenv,
    "builtin:debian-root": _debian_root,
    "builtin:charmap": _charmap,
    "builtin:isolated-programs": _isolated_programs,
    "builtin:loaded-program": _loaded_program,
    "builtin:python-environment": _python_environment,
    "builtin:node-project": _node_project,
    "builtin:node-programs": _node_programs,
    "builtin:host-python": _host_python,
}
