"""`uv.lock`: what its root project needs, followed from package to package as uv does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from packaging.markers import InvalidMarker
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from deployer.packages.python.platform import PythonPlatform
from deployer.packages.python.wheels import LockedWheel, LockFile, WheelFile, filename_of

_VERSION: Final = 1
_LOCAL: Final = ("editable", "virtual", "directory")
_AGAIN: Final = "Restore it from version control, or run 'uv lock'."

_Package = dict[str, Any]


class UvLock:
    """One lock file, for one platform."""

    def __init__(self, file: LockFile, document: Mapping[str, Any], platform: PythonPlatform) -> None:
        """`document` is the file's TOML."""
        self._file, self._document, self._platform = file, document, platform

    def wheels(self, extras: Collection[str], groups: Collection[str]) -> Sequence[LockedWheel]:
        """The wheels of all that the root project needs, with these extras and dependency groups. Raises `PackageInvalid`."""
        try:
            return list(self._wheels(extras, groups))
        except (KeyError, TypeError, AttributeError, InvalidMarker, InvalidSpecifier) as error:
            raise self._file.refuse(f"it is no sound uv.lock ({type(error).__name__}: {error})", _AGAIN) from None

    def _wheels(self, extras: Collection[str], groups: Collection[str]) -> Iterator[LockedWheel]:
        if self._document.get("version") != _VERSION:
            raise self._file.refuse(f"its version is {self._document.get('version')}, and we read {_VERSION}", _AGAIN)
        python = SpecifierSet(self._document.get("requires-python", ""))
        if not python.contains(self._platform.full_version):
            raise self._file.refuse(f"it is for Python {python}, not for {self._platform}", "Take another interpreter.")
        root = self._root()
        self._check_named(root, extras, groups)
        todo = [(root, tuple(extras))]
        seen = set[tuple[str, str]]()
        chosen: dict[str, _Package] = {}
        while todo:
            package, wanted = todo.pop()
            name = package["name"]
            if chosen.setdefault(name, package) is not package:
                raise self._file.refuse(f"it asks for two versions of {name} at once", _AGAIN, word=f'"{name}"')
            lists = [package.get("optional-dependencies", {}).get(extra, []) for extra in wanted if (name, extra) not in seen]
            if (name, "") not in seen:
                lists.append(package.get("dependencies", []))
            if package is root:
                lists += [package.get("dev-dependencies", {})[group] for group in groups]
            seen |= {(name, ""), *((name, extra) for extra in wanted)}
            for needed in (item for items in lists for item in items):
                if "marker" not in needed or self._platform.holds(needed["marker"]):
                    todo.append((self._find(needed), tuple(needed.get("extra", ()))))
        for package in chosen.values():
            if package is not root and "virtual" not in package["source"]:
                yield self._wheel(package)

    def _root(self) -> _Package:
        packages: Sequence[_Package] = self._document["package"]
        for package in packages:
            if any(package["source"].get(kind) == "." for kind in _LOCAL):
                return package
        raise self._file.refuse("no package in it is the project beside it", _AGAIN)

    def _check_named(self, root: _Package, extras: Collection[str], groups: Collection[str]) -> None:
        for kind, key, names in (("extra", "optional-dependencies", extras), ("group", "dev-dependencies", groups)):
            for name in names:
                if name not in root.get(key, {}):
                    known = ", ".join(root.get(key, {})) or "none"
                    raise self._file.refuse(f"its project has no {kind} {name!r}", f"Those that it has: {known}.")

    def _find(self, needed: Mapping[str, Any]) -> _Package:
        found: list[_Package] = [
            package
            for package in self._document["package"]
            if package["name"] == needed["name"]
            and package.get("version") == needed.get("version", package.get("version"))
            and package["source"] == needed.get("source", package["source"])
            and self._applies(package)
        ]
        if len(found) != 1:
            name = needed["name"]
            raise self._file.refuse(f"it has {len(found)} packages {name} for {self._platform}", _AGAIN, word=f'"{name}"')
        return found[0]

    def _applies(self, package: _Package) -> bool:
        forks = package.get("resolution-markers", ())
        return not forks or any(self._platform.holds(text) for text in forks)

    def _wheel(self, package: _Package) -> LockedWheel:
        files = [
            WheelFile(
                item.get("url"),
                item.get("path"),
                item.get("filename") or filename_of(item.get("url"), item.get("path")),
                dict([item["hash"].split(":", 1)]) if "hash" in item else {},
                item.get("size"),
            )
            for item in package.get("wheels", ())
        ]
        has_source = "sdist" in package or "registry" not in package["source"]
        return self._file.wheel(package["name"], package.get("version", ""), files, self._platform, has_source=has_source)
