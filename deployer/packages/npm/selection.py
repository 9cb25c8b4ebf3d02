"""The packages of a `package-lock.json` that a platform takes, as `npm ci` would take them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import Place, near
from deployer.packages.errors import PackageInvalid
from deployer.packages.npm.directories import check_path, is_directory, linked_directories, name_of
from deployer.packages.npm.lock_file import AGAIN, ROOT, Entry, NpmLock
from deployer.packages.npm.platform import NodePlatform
from deployer.packages.npm.programs import links_of_programs, programs_of_entry
from deployer.packages.npm.tarballs import LockedTarball, locked_tarball

_DIRECT: Final = {"dependencies": "", "devDependencies": "dev", "optionalDependencies": "optional", "peerDependencies": "peer"}
"""Where a project says what it needs, and the word that leaves it out."""


@dataclass(frozen=True, slots=True)
class LockedProject:
    """What is to be unpacked, and what can be run of it."""

    tarballs: tuple[LockedTarball, ...]
    """In order of their places, outer ones first."""
    programs: Mapping[str, str]
    """Name of each program of what the project itself depends on → its file, as a path of the project."""
    runnable: tuple[str, ...]
    """Files of programs, these and all that are linked, as paths of the project."""
    links: Mapping[str, str]
    """Path of each link in `node_modules` → the directory of the project that it leads to."""
    linked_programs: Mapping[str, str]
    """Path of each link in a `.bin` → the file of a program. One whose file is not there is left out."""
    unmet: Mapping[str, str]
    """Name of each package that wants another version of Node → the versions that it wants."""


def select_packages(
    asker: str,
    lock: Path,
    platform: NodePlatform,
    *,
    omit: Collection[str],
    without_scripts: Collection[str],
    source: Path | None,
    registry: str,
    place: Place | None,
) -> LockedProject:
    """What the lock file `lock` of the package `asker` means on a platform.

    `omit` are words of `OMITTABLE`; `without_scripts` names packages whose install scripts are not missed; with a `source`, the
    project's own programs are among those found, and those of its workspaces; the `registry` has what the lock file tells no
    URL of. Raises `PackageInvalid`.
    """
    file = NpmLock.read(asker, lock, place)
    try:
        return _Selection(file, platform, frozenset(omit), frozenset(without_scripts), source, registry, place).project()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise file.refuse(f"it is no sound package-lock.json ({type(error).__name__}: {error})", AGAIN) from None


@dataclass(frozen=True, slots=True)
class _Selection:
    lock: NpmLock
    platform: NodePlatform
    omit: frozenset[str]
    without_scripts: frozenset[str]
    source: Path | None
    registry: str
    place: Place | None

    def project(self) -> LockedProject:
        self._check_named()
        entries = {path: entry for path, entry in self.lock.entries.items() if self._is_wanted(path, entry)}
        links = linked_directories(self.lock, {path: entry for path, entry in entries.items() if entry.get("link")}, self.source)
        taken = self._taken(entries, links)
        for path, entry in taken.items():
            self._check_scripts(path, entry)
        # What another tarball brings comes with that, and a directory with the source.
        fetched = [path for path, entry in taken.items() if not (entry.get("inBundle") or path in links or is_directory(path))]
        tarballs = [locked_tarball(self.lock, path, taken[path], self.registry) for path in sorted(fetched)]
        programs = self._programs(taken, links)
        placed = ((path, {**taken[links[path]], "link": True} if path in links else entry) for path, entry in taken.items())
        linked = links_of_programs(self.lock, ((path, entry) for path, entry in placed if not is_directory(path)))
        runnable = {*programs.values(), *(_behind(file, links) for file in linked.values())}
        directories = {path: target for path, target in sorted(links.items()) if path in taken}
        root = self.lock.entries.get(ROOT, {})
        unmet = {path: entry for path, entry in {ROOT: root, **taken}.items() if not self.platform.meets(entry)}
        wanted = {name_of(path) or "the project": str(entry["engines"]["node"]) for path, entry in unmet.items()}
        return LockedProject(tuple(tarballs), programs, tuple(sorted(runnable)), directories, linked, wanted)

    def _check_named(self) -> None:
        names = {name_of(path) for path in self.lock.entries}
        for name in sorted(self.without_scripts - names):
            reason = f"without_scripts names {name!r}, which is not in {self.lock.path.name}"
            nearest = near(name, names)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else "Remove it."
            raise PackageInvalid(self.lock.asker, reason, self.place, hint)

    def _is_wanted(self, path: str, entry: Entry) -> bool:
        return path != ROOT and not entry.get("extraneous") and not self._is_omitted(entry)

    def _taken(self, entries: Mapping[str, Entry], links: Mapping[str, str]) -> dict[str, Entry]:
        """Path → entry of all that is wanted and fits. Links are as fit as what they lead to."""
        taken: dict[str, Entry] = {}
        unfit = set[str]()
        directories = frozenset(links.values())
        for path, entry in entries.items():
            check_path(self.lock, path, directories)
            if self.platform.fits(entry):
                taken[path] = entry
            elif entry.get("optional") or entry.get("devOptional"):
                unfit.add(path)
            else:
                reason = f"{name_of(path)} is not for {self.platform}"
                hint = "Lock a version that is, make it optional, or take an interpreter of another architecture."
                raise self.lock.refuse(reason, hint, key=path)
        # What needs something that does not fit is of no use either, nor what lies inside of it.
        while gone := {path for path, entry in taken.items() if self._leans_on(path, entry, unfit, links)}:
            unfit |= gone
            taken = {path: entry for path, entry in taken.items() if path not in gone}
        reached = self._reached(taken, links)
        return {path: entry for path, entry in taken.items() if path in reached or not entry.get("optional")}

    def _reached(self, taken: Mapping[str, Entry], links: Mapping[str, str]) -> Collection[str]:
        """What the project needs by way of what is taken: something optional may have been for what is not."""
        todo = [ROOT, *(path for path, entry in taken.items() if is_directory(path) and not entry.get("optional"))]
        reached = set(todo)
        while todo:
            path = todo.pop()
            entry = taken.get(path) or self.lock.entries.get(path, {})
            found = {self._resolve(path, name) for key in _DIRECT for name in entry.get(key, {})} | {links.get(path)}
            fresh = {place for place in found if place is not None and place in taken} - reached
            reached |= fresh
            todo += fresh
        return reached

    def _is_omitted(self, entry: Entry) -> bool:
        if entry.get("devOptional") and {"dev", "optional"} <= self.omit:
            return True
        return any(entry.get(word) for word in self.omit)

    def _leans_on(self, path: str, entry: Entry, unfit: Collection[str], links: Mapping[str, str]) -> bool:
        if links.get(path) in unfit or any(path.startswith(f"{outer}/") for outer in unfit):
            return True
        needed = set(entry.get("dependencies", {})) - set(entry.get("optionalDependencies", {}))
        return any(self._resolve(path, name) in unfit for name in needed)

    def _resolve(self, path: str, name: str) -> str | None:
        """Where Node finds a package that another asks for: beside itself, or further out."""
        return next((found for found in _lookups(path, name) if found in self.lock.entries), None)

    def _check_scripts(self, path: str, entry: Entry) -> None:
        name = name_of(path)
        if entry.get("hasInstallScript") and name not in self.without_scripts:
            reason = f"{name} has an install script, and none is run"
            hint = f"If it works without, add {name!r} to 'without_scripts'; else build it, or depend on another."
            raise self.lock.refuse(reason, hint, key=path)

    def _programs(self, taken: Mapping[str, Entry], links: Mapping[str, str]) -> Mapping[str, str]:
        root = self.lock.entries.get(ROOT, {})
        direct = {name for key, word in _DIRECT.items() if word not in self.omit for name in root.get(key, {})}
        places = [path for name in sorted(direct) if (path := f"node_modules/{name}") in taken and path not in links]
        places += sorted(path for path in taken if is_directory(path))
        sources = {path: taken[path] for path in places}
        if self.source is not None:
            sources[ROOT] = root
        found: dict[str, str] = {"node": "the interpreter"}
        for path, entry in sources.items():
            for name, file in programs_of_entry(self.lock, path, entry).items():
                if name in found:
                    reason = f"the program {name!r} is both {found[name]} and {file}"
                    raise self.lock.refuse(reason, "Depend on one of the two only.", key=path)
                found[name] = file
        del found["node"]
        return dict(sorted(found.items()))


def _behind(file: str, links: Mapping[str, str]) -> str:
    """A file by the directory of the project that it is in, where a link leads there."""
    return next((f"{target}{file[len(path) :]}" for path, target in links.items() if file.startswith(f"{path}/")), file)


def _lookups(path: str, name: str) -> Iterator[str]:
    while path:
        yield f"{path}/node_modules/{name}"
        path = path.rpartition("node_modules/")[0].rstrip("/")
    yield f"node_modules/{name}"
