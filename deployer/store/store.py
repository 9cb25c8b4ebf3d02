"""A store on a disk: Nix's paths and their registration, on a controller and on hosts alike."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import Callable, Collection, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from deployer.formats import STORE_DIR, Derivation, StorePath
from deployer.formats.hashes import Hash
from deployer.formats.pathstream import PathHeader
from deployer.formats.references import ReferenceScanner
from deployer.formats.storepath import make_fixed_output_path, make_source_path, make_text_path
from deployer.store import trees
from deployer.store.batch import Batch
from deployer.store.database import Database, PathInfo
from deployer.store.errors import PathNotValid, StoreError, translate
from deployer.store.layout import Layout
from deployer.store.locks import TemporaryRoots, held, locked

AnyPath = Union[StorePath, str]


class Store:
    """Paths below `root` whose logical directory is `store_dir`. Made on first use; nothing is read before."""

    def __init__(self, root: Path = Path("/"), store_dir: str = STORE_DIR) -> None:
        """`root` is `/` on hosts; a controller has a directory of its own (docs/decisions/001)."""
        self.root = Path(root)
        self.store_dir = store_dir
        self.layout = Layout(self.root, store_dir)
        self._roots = TemporaryRoots(self.layout.temporary_roots)

    @property
    def temporary_directory(self) -> Path:
        """Where to make what is to be moved into the store."""
        return self.layout.aside

    @property
    def log_directory(self) -> Path:
        """Where builds' logs are kept."""
        return self.layout.logs

    @cached_property
    def database(self) -> Database:
        """The registration; the store is made where there is none."""
        try:
            self.layout.make()
        except OSError as error:
            raise translate(error, str(self.layout.store)) from None
        return Database(self.layout.database)

    def physical(self, path: AnyPath) -> Path:
        """Where a path, or a file below one, lies on this machine."""
        return self.root / str(path).lstrip("/")

    # What is valid

    def is_valid(self, path: AnyPath) -> bool:
        """Whether a path is registered."""
        return bool(self.valid([path]))

    def valid(self, paths: Iterable[AnyPath]) -> Set[str]:
        """Those of the paths that are registered."""
        if not self.layout.database.exists():
            return set()
        return self.database.valid([str(path) for path in paths])

    def query(self, path: AnyPath) -> PathInfo:
        """What is registered of a path. Raises `PathNotValid`."""
        info = self.database.query(str(path))
        if info is None:
            raise PathNotValid(str(path))
        return info

    def referrers(self, path: AnyPath) -> Tuple[str, ...]:
        """The paths that refer to a path."""
        return self.database.referrers(str(path))

    def closure(self, paths: Iterable[AnyPath]) -> Tuple[StorePath, ...]:
        """The paths and all that they refer to, directly or not; references come first. Raises `PathNotValid`."""
        done: Dict[str, None] = {}
        infos: Dict[str, PathInfo] = {}
        todo: List[Tuple[str, bool]] = [(str(path), False) for path in reversed(list(paths))]
        while todo:
            path, ready = todo.pop()
            if path in done:
                continue
            if ready:
                done[path] = None
                continue
            if path in infos:
                continue
            infos[path] = self.query(path)
            todo.append((path, True))
            todo.extend((reference, False) for reference in reversed(infos[path].references) if reference != path)
        return tuple(StorePath.parse(path, self.store_dir) for path in done)

    # Adding

    def batch(self) -> Batch:
        """To add several paths at the cost of one sync."""
        return Batch(self.layout, self.database, self._roots, self.layout.state / "gc.lock")

    def add_text(self, name: str, content: bytes, references: Iterable[AnyPath] = ()) -> StorePath:
        """Add a file with known content."""
        refs = sorted(str(reference) for reference in references)
        path = make_text_path(name, content, [StorePath.parse(ref, self.store_dir) for ref in refs], self.store_dir)
        self.keep([path])
        if self.is_valid(path):
            return path
        with self.batch() as batch:
            aside = batch.place()
            with self._translated(str(path)):
                Path(aside).write_bytes(content)
                trees.canonicalise(aside)
            digest, size = trees.nar_hash(aside)
            ca = f"text:{Hash('sha256', hashlib.sha256(content).digest()).base32}"
            batch.move(PathInfo(str(path), Hash("sha256", digest).base32, size, tuple(refs), ca=ca), aside)
            batch.commit()
        return path

    def add_tree(self, name: str, source: Path, *, ignored: FrozenSet[str] = frozenset()) -> StorePath:
        """Add a file or directory of this machine by the hash of its NAR (a `source` path)."""
        digest, size = trees.nar_hash(str(source), ignored=ignored)
        path = make_source_path(name, digest, (), self.store_dir)
        self.keep([path])
        if not self.is_valid(path):
            ca = f"fixed:r:{Hash('sha256', digest).base32}"
            self._copy_in(PathInfo(str(path), Hash("sha256", digest).base32, size, ca=ca), source, ignored)
        return path

    def add_fixed(self, name: str, source: Path, algorithm: str = "sha256", *, recursive: bool = False) -> StorePath:
        """Add a file by the hash of its bytes, or a tree by that of its NAR."""
        nar, size = trees.nar_hash(str(source))
        digest = _digest(source, algorithm, recursive=recursive)
        path = make_fixed_output_path(name, algorithm, digest, self.store_dir, recursive=recursive)
        self.keep([path])
        if not self.is_valid(path):
            ca = f"fixed:{'r:' if recursive else ''}{Hash(algorithm, digest).base32}"
            self._copy_in(PathInfo(str(path), Hash("sha256", nar).base32, size, ca=ca), source, frozenset())
        return path

    def write_derivation(self, derivation: Derivation) -> StorePath:
        """Add a `.drv`. What it refers to must be valid."""
        references = {*derivation.input_derivations, *derivation.input_sources}
        return self.add_text(f"{derivation.name}.drv", derivation.to_bytes(), references)

    def register_output(
        self, path: AnyPath, made: Path, *, candidates: Collection[AnyPath] = (), deriver: Optional[AnyPath] = None
    ) -> PathInfo:
        """Take what a build has made on the store's file system. `candidates` are the paths that it may refer to."""
        text = str(path)
        with self.batch() as batch:
            with self._translated(text):
                trees.canonicalise(str(made))
                info = self._examine(text, made, {*map(str, candidates), text}, str(deriver or ""))
            batch.move(info, str(made))
            batch.commit()
        return info

    # Copying

    def held_files(self, hashes: Iterable[str]) -> Set[str]:
        """Those files, by hash, whose content is in this store under any path."""
        return {name for name in hashes if "/" not in name and (self.layout.links / name).is_file()}

    def file_hashes(self, paths: Iterable[AnyPath]) -> Set[str]:
        """The hashes of the files of paths that are large enough to be worth asking for."""
        return {
            trees.file_hash(file, executable=executable, size=size)
            for path in paths
            for file, size, executable in trees.regular_files(str(self.physical(path)))
            if size >= trees.HELD_FROM
        }

    def header(self, path: AnyPath) -> PathHeader:
        """What a path stream says of a path."""
        info = self.query(path)
        return PathHeader(
            info.path, info.nar_hash, info.nar_size, info.references, info.deriver, info.ca, tuple(sorted(info.signatures))
        )

    def add_signatures(self, path: AnyPath, signatures: Iterable[str]) -> None:
        """Keep what others, or we, have signed of a valid path. Raises `PathNotValid`."""
        self.query(path)
        self.database.add_signatures(str(path), signatures)

    def write_nar(self, path: AnyPath, write: Callable[[bytes], object], *, held: Optional[trees.Chooser] = None) -> None:
        """Write a path's NAR, with files that the receiver holds, as far as they are worth asking for, named by their hashes."""
        with self._translated(str(path)):
            trees.write_nar(str(self.physical(path)), write, held=held)

    # Keeping

    def keep(self, paths: Iterable[AnyPath]) -> None:
        """Keep paths from the collector until this process ends."""
        self.database  # noqa: B018 - makes the directories
        # A collector that is at work has not seen these; once we have the lock, what it was to remove is gone, and known to be.
        with held(self.layout.state / "gc.lock", exclusive=False):
            self._roots.add([str(path) for path in paths])

    @contextlib.contextmanager
    def lock_paths(self, paths: Iterable[AnyPath]) -> Iterator[None]:
        """Hold paths that are about to be made; other processes wait."""
        self.database  # noqa: B018 - makes the directories
        with locked(self.layout.locks / f"{os.path.basename(str(path))}.lock" for path in paths):
            yield

    def add_root(self, name: str, path: AnyPath) -> None:
        """Keep a path, and all that it refers to, until the root of this name goes."""
        self.database  # noqa: B018 - makes the directories
        link = self.layout.roots / name
        temporary = link.with_name(f".{name}-{os.getpid()}")
        with self._translated(str(path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            os.symlink(str(path), temporary)
            os.rename(temporary, link)

    def _examine(self, path: str, made: Path, candidates: Set[str], deriver: str) -> PathInfo:
        parts = {StorePath.parse(candidate, self.store_dir).hash_part: candidate for candidate in candidates}
        scanner, digest = ReferenceScanner(parts), hashlib.sha256()
        size = 0

        def feed(data: bytes) -> None:
            nonlocal size
            digest.update(data)
            scanner.feed(data)
            size += len(data)

        trees.write_nar(str(made), feed)
        references = tuple(sorted(parts[part] for part in scanner.found))
        return PathInfo(path, Hash("sha256", digest.digest()).base32, size, references, deriver, ultimate=True)

    def _copy_in(self, info: PathInfo, source: Path, ignored: FrozenSet[str]) -> None:
        with self.batch() as batch:
            aside = batch.place()
            try:
                with self._translated(str(source)):
                    digest, size = trees.copy(str(source), aside, ignored=ignored)
                if (Hash("sha256", digest).base32, size) != (info.nar_hash, info.nar_size):
                    raise SourceChanging(str(source))
            except BaseException:
                trees.remove(aside)
                raise
            batch.move(info, aside)
            batch.commit()

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (OSError, shutil.Error) as error:
            raise translate(error if not isinstance(error, shutil.Error) else OSError(str(error)), path) from None


class SourceChanging(StoreError):
    """A file changed while it was being added."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.path} changed while it was being added to the store"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Try again when nothing writes there."


def _digest(source: Path, algorithm: str, *, recursive: bool) -> bytes:
    digest = hashlib.new(algorithm)
    if recursive:
        trees.write_nar(str(source), digest.update)
    else:
        with source.open("rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
    return digest.digest()


def roots_of(store: Store) -> Mapping[str, str]:
    """What the store's roots keep, by name."""
    directory = store.layout.roots
    if not directory.is_dir():
        return {}
    return {link.name: _kept(store, os.readlink(link)) for link in sorted(directory.iterdir()) if link.is_symlink()}


def _kept(store: Store, target: str) -> str:
    """Where a root leads. If that is a link elsewhere, which a user made and may remove, it is what the link leads to."""
    logical, physical = f"{store.store_dir}/", f"{store.layout.store}/"
    if not target.startswith(logical):
        with contextlib.suppress(OSError):
            target = os.readlink(target)
    if target.startswith(physical):
        target = logical + target[len(physical) :]
    return target
