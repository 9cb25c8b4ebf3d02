"""The packages of a `package-lock.json` that a platform takes, as `npm ci` would take them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.errors import Place, near
from deployer.packages.errors import PackageInvalid
from deployer.packages.npm.lock_file import AGAIN, ROOT, Entry, NpmLock
from deployer.packages.npm.platform import NodePlatform
from deployer.packages.npm.tarballs import LockedTarball, check_path, locked_tarball, name_of, programs_of_entry

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
    """Files of programs, these and all others, as paths of the project."""


def select_packages(
    asker: str,
    lock: Path,
    platform: NodePlatform,
    *,
    omit: Collection[str],
    without_scripts: Collection[str],
    has_source: bool,
    registry: str,
    place: Place | None,
) -> LockedProject:
    """What the lock file `lock` of the package `asker` means on a platform.

    `omit` are words of `OMITTABLE`; `without_scripts` names packages whose install scripts are not missed; with a source, the
    project's own programs are among those found; the `registry` has what the lock file tells no URL of. Raises `PackageInvalid`.
    """
    file = NpmLock.read(asker, lock, place)
    try:
        return _Selection(file, platform, frozenset(omit), frozenset(without_scripts), has_source, registry, place).project()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise file.refuse(f"it is no sound package-lock.json ({type(error).__name__}: {error})", AGAIN) from None


@dataclass(frozen=True, slots=True)
class _Selection:
    lock: NpmLock
    platform: NodePlatform
    omit: frozenset[str]
    without_scripts: frozenset[str]
    has_source: bool
    registry: str
    place: Place | None

    def project(self) -> LockedProject:
        self._check_named()
        taken = self._taken()
        for path, entry in taken.items():
            self._check_scripts(path, entry)
        # What another tarball brings comes with that.
        fetched = {path: entry for path, entry in taken.items() if not entry.get("inBundle")}
        tarballs = [locked_tarball(self.lock, path, entry, self.registry) for path, entry in sorted(fetched.items())]
        programs = self._programs(taken)
        others = (file for path, entry in taken.items() for file in programs_of_entry(self.lock, path, entry).values())
        return LockedProject(tuple(tarballs), programs, tuple(sorted({*programs.values(), *others})))

    def _check_named(self) -> None:
        names = {name_of(path) for path in self.lock.entries}
        for name in sorted(self.without_scripts - names):
            reason = f"without_scripts names {name!r}, which is not in {self.lock.path.name}"
            nearest = near(name, names)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else "Remove it."
            raise PackageInvalid(self.lock.asker, reason, self.place, hint)

    def _taken(self) -> dict[str, Entry]:
        """Path → entry of all that is wanted and fits."""
        taken: dict[str, Entry] = {}
        unfit = set[str]()
        for path, entry in self.lock.entries.items():
            if path == ROOT or entry.get("extraneous") or self._is_omitted(entry):
                continue
            check_path(self.lock, path, entry)
            if self.platform.fits(entry):
                taken[path] = entry
            elif entry.get("optional") or entry.get("devOptional"):
                unfit.add(path)
            else:
                reason = f"{name_of(path)} is not for {self.platform}"
                hint = "Lock a version that is, make it optional, or take an interpreter of another architecture."
                raise self.lock.refuse(reason, hint, key=path)
        # What needs something that does not fit is of no use either, nor what lies inside of it.
        while gone := {path for path, entry in taken.items() if self._leans_on(path, entry, unfit)}:
            unfit |= gone
            taken = {path: entry for path, entry in taken.items() if path not in gone}
        reached = self._reached(taken)
        return {path: entry for path, entry in taken.items() if path in reached or not entry.get("optional")}

    def _reached(self, taken: Mapping[str, Entry]) -> Collection[str]:
        """What the project needs by way of what is taken: something optional may have been for what is not."""
        todo, reached = [ROOT], {ROOT}
        while todo:
            path = todo.pop()
            entry = taken.get(path) or self.lock.entries.get(path, {})
            for name in {name for key in _DIRECT for name in entry.get(key, {})}:
                found = self._resolve(path, name)
                if found is not None and found in taken and found not in reached:
                    reached.add(found)
                    todo.append(found)
        return reached

    def _is_omitted(self, entry: Entry) -> bool:
        if entry.get("devOptional") and {"dev", "optional"} <= self.omit:
            return True
        return any(entry.get(word) for word in self.omit)

    def _leans_on(self, path: str, entry: Entry, unfit: Collection[str]) -> bool:
        if any(path.startswith(f"{outer}/") for outer in unfit):
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

    def _programs(self, taken: Mapping[str, Entry]) -> Mapping[str, str]:
        root = self.lock.entries.get(ROOT, {})
        direct = {name for key, word in _DIRECT.items() if word not in self.omit for name in root.get(key, {})}
        sources = {path: taken[path] for name in sorted(direct) if (path := f"node_modules/{name}") in taken}
        if self.has_source:
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


def _lookups(path: str, name: str) -> Iterator[str]:
    while path:
        yield f"{path}/node_modules/{name}"
        path = path.rpartition("node_modules/")[0].rstrip("/")
    yield f"node_modules/{name}"
