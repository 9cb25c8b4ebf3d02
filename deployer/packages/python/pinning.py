"""Requirements and the wheels that are pinned for them: found in indexes by `deployer lock`, held against the file ever after.

A lock answers a file while each requirement has a wheel of its version, whose hash the file allows and which the platform runs.
So neither remarks nor a newer interpreter make one outdated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from deployer.errors import DeployerError, Place, raise_all
from deployer.packages.errors import LockOutdated, PackageInvalid, PythonIndexFailed
from deployer.packages.lockfile import LockedWheels, WheelPin
from deployer.packages.python.platform import PythonPlatform
from deployer.packages.python.requirements import PinnedRequirement, Requirements
from deployer.packages.python.simple_index import IndexFile, SimpleIndex
from deployer.packages.python.wheels import LockedWheel, LockFile, WheelFile, filename_of

_AT_ONCE: Final = 8
"""Projects that indexes are asked for at the same time."""
_SHOWN: Final = 3


async def pin_wheels(asker: str, requirements: Requirements, platform: PythonPlatform, indexes: Sequence[str]) -> LockedWheels:
    """Find what a requirements file of the package `asker` pins in indexes, the first that has it.

    Raises `PackageInvalid` and `PythonIndexFailed`, all of them together.
    """
    wanted = [one for one in requirements.wanted(asker, platform) if one.is_in_index]
    some = asyncio.Semaphore(_AT_ONCE)

    async def pin(one: PinnedRequirement) -> WheelPin | DeployerError:
        async with some:
            try:
                return await asyncio.to_thread(_pin, asker, one, platform, [SimpleIndex(url) for url in indexes])
            except DeployerError as error:
                return error

    answers = await asyncio.gather(*(pin(one) for one in wanted))
    raise_all(answer for answer in answers if isinstance(answer, DeployerError))
    return LockedWheels(tuple(answer for answer in answers if isinstance(answer, WheelPin)))


def wheels_of_requirements(
    asker: str, requirements: Requirements, platform: PythonPlatform, pinned: LockedWheels | None, lock: Path, place: Place | None
) -> Sequence[LockedWheel]:
    """What a requirements file and the `lock` mean together on a platform. Raises `PackageInvalid`, `LockOutdated`."""
    wanted = requirements.wanted(asker, platform)
    from_index = [one for one in wanted if one.is_in_index]
    if pinned is None and from_index:
        raise LockOutdated(asker, str(lock), "does not pin it", place)
    pins = {pin.name: pin for pin in pinned.wheels} if pinned else {}
    for one in from_index:
        if one.name not in pins or not _answers(pins[one.name], one, platform):
            raise LockOutdated(asker, str(lock), f"has no wheel for {one} of {Path(one.place.file).name}", one.place)
    for name in sorted(pins.keys() - {one.name for one in from_index}):
        raise LockOutdated(asker, str(lock), f"pins {name}, which is not asked for", place)
    text = lock.read_text(encoding="utf-8") if pins and lock.exists() else ""
    return [_wheel(asker, one, platform, pins.get(one.name), LockFile(asker, lock, text)) for one in wanted]


def answers(asker: str, requirements: Requirements, platform: PythonPlatform, pinned: LockedWheels) -> bool:
    """Whether the pins are what a requirements file asks for on a platform, no more and no less."""
    wanted = {one.name: one for one in requirements.wanted(asker, platform) if one.is_in_index}
    pins = {pin.name: pin for pin in pinned.wheels}
    return pins.keys() == wanted.keys() and all(_answers(pins[name], one, platform) for name, one in wanted.items())


def _answers(pin: WheelPin, one: PinnedRequirement, platform: PythonPlatform) -> bool:
    try:
        name, version, _, tags = parse_wheel_filename(pin.file)
    except InvalidWheelFilename:
        return False
    fits = name == one.name and one.specifier.contains(version, prereleases=True) and not tags.isdisjoint(platform.tags)
    return fits and pin.sha256.lower() in one.sha256


def _wheel(asker: str, one: PinnedRequirement, platform: PythonPlatform, pin: WheelPin | None, lock: LockFile) -> LockedWheel:
    if pin is not None:
        found = WheelFile(pin.url, None, pin.file, {"sha256": pin.sha256}, pin.size)
        return lock.wheel(one.name, pin.version, [found], platform, has_source=False)
    filename = filename_of(one.url or None, str(one.path))
    found = WheelFile(one.url or None, str(one.path), filename, {"sha256": next(iter(one.sha256))}, None)
    version = str(parse_wheel_filename(filename)[1])
    return _file(asker, one.place).wheel(one.name, version, [found], platform, has_source=False)


def _file(asker: str, place: Place) -> LockFile:
    return LockFile(asker, Path(place.file), "", place.line)


def _pin(asker: str, one: PinnedRequirement, platform: PythonPlatform, indexes: Iterable[SimpleIndex]) -> WheelPin:
    """The best wheel that the hashes allow, of the first index that has one. Blocks."""
    failed: list[PythonIndexFailed] = []
    seen: list[IndexFile] = []
    for index in indexes:
        try:
            files = index.files(one.name)
        except PythonIndexFailed as error:
            # What another index has is as good: the hash decides.
            failed.append(error)
            continue
        allowed = [file for file in files if file.hashes.get("sha256", "").lower() in one.sha256]
        if not allowed:
            seen += [file for file in files if _is_of_version(file, one)]
            continue
        wheels = [file for file in allowed if file.filename.endswith(".whl") and _runs(file, platform)]
        described = [WheelFile(file.url, None, file.filename, file.hashes, file.size) for file in wheels]
        has_source = any(not file.filename.endswith(".whl") for file in allowed)
        best = _file(asker, one.place).wheel(one.name, str(one.specifier).lstrip("="), described, platform, has_source=has_source)
        chosen = index.sized(next(file for file in wheels if file.filename == best.filename))
        version = str(parse_wheel_filename(chosen.filename)[1])
        return WheelPin(one.name, version, chosen.filename, chosen.url, chosen.size, chosen.hashes["sha256"].lower())
    if failed:
        raise PythonIndexFailed(failed[0].url, failed[0].reason, one.place)
    raise _not_found(asker, one, seen)


def _is_of_version(file: IndexFile, one: PinnedRequirement) -> bool:
    return (version := _version_of(file)) is not None and one.specifier.contains(version, prereleases=True)


def _version_of(file: IndexFile) -> Version | None:
    try:
        return (
            parse_wheel_filename(file.filename)[1] if file.filename.endswith(".whl") else parse_sdist_filename(file.filename)[1]
        )
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _runs(file: IndexFile, platform: PythonPlatform) -> bool:
    try:
        return SpecifierSet(file.requires_python).contains(platform.full_version, prereleases=True)
    except InvalidSpecifier:
        return True


def _not_found(asker: str, one: PinnedRequirement, seen: Sequence[IndexFile]) -> PackageInvalid:
    """Why nothing was found, by what the indexes have of the version."""
    if not seen:
        hint = "Check its name and version, and which indexes are asked: the key 'index', or DEPLOYER_PYTHON_INDEXES."
        return PackageInvalid(asker, f"no index has a file of {one}", one.place, hint)
    if not any("sha256" in file.hashes for file in seen):
        return PackageInvalid(asker, f"the index tells no sha256 hash of the files of {one}", one.place, "Name another index.")
    names = ", ".join(file.filename for file in seen[:_SHOWN]) + (" …" if len(seen) > _SHOWN else "")
    hint = "Compile the file anew; if the hash is the one that you know, somebody gives you other files under this version."
    return PackageInvalid(asker, f"no file of {one} in the index has a hash that is allowed (there are {names})", one.place, hint)
