"""The wheels that a lock file means: `pylock.toml` (PEP 751), `uv.lock`, and `requirements.txt` together with `deployer.lock`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from packaging.pylock import (
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
    is_valid_pylock_path,
)

from deployer.errors import Place
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import LOCK_NAME, LockedWheels
from deployer.packages.python.pinning import wheels_of_requirements
from deployer.packages.python.platform import PythonPlatform
from deployer.packages.python.requirements import read_requirements
from deployer.packages.python.uv_lock import UvLock
from deployer.packages.python.wheels import LockedWheel, LockFile, WheelFile
from deployer.packages.recipes import is_requirements_file


def select_wheels(
    asker: str,
    lock: Path,
    platform: PythonPlatform,
    *,
    extras: Collection[str],
    groups: Collection[str],
    place: Place | None,
    pinned: LockedWheels | None = None,
    pins_file: Path = Path(LOCK_NAME),
) -> tuple[LockedWheel, ...]:
    """What the lock file `lock` of the package `asker` means on a platform, by name.

    `pinned` is what `pins_file` has for a requirements file. Raises `PackageInvalid`, and `LockOutdated` where the two differ.
    """
    if is_requirements_file(lock):
        requirements = read_requirements(asker, lock, place)
        return tuple(wheels_of_requirements(asker, requirements, platform, pinned, pins_file, place))
    try:
        text = lock.read_text()
    except FileNotFoundError:
        raise PackageInvalid(asker, f"there is no {lock}", place) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(asker, f"{lock} cannot be read: {error}", place) from None
    file = LockFile(asker, lock, text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise file.refuse(f"it is not TOML: {error}", "Restore it from version control, or lock again.") from None
    if lock.name == "uv.lock":
        wheels = UvLock(file, document, platform).wheels(extras, groups)
    elif is_valid_pylock_path(lock):
        wheels = _pylock(file, document, platform, extras, groups)
    else:
        raise PackageInvalid(
            asker, f"{lock.name} is no lock file that we read", place, "Name a pylock.toml, a uv.lock or a requirements.txt."
        )
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


def _pylock(
    file: LockFile, document: dict[str, Any], platform: PythonPlatform, extras: Collection[str], groups: Collection[str]
) -> Sequence[LockedWheel]:
    for package in document.get("packages", ()):
        for wheel in package.get("wheels", ()) if isinstance(package, dict) else ():
            if isinstance(wheel, dict) and not wheel.get("hashes"):
                filename = str(wheel.get("name") or wheel.get("url") or wheel.get("path")).rpartition("/")[2]
                raise file.refuse(
                    f"the wheel {filename} has no hash", "Lock again with hashes: 'uv export', 'pip lock'.", word=filename
                )
    found: list[LockedWheel] = []
    try:
        lock = Pylock.from_dict(document)
        # No group named means those that the file itself takes by default.
        selected = lock.select(
            environment=platform.environment, tags=platform.tags, extras=extras, dependency_groups=groups or None
        )
        for package, chosen in selected:
            version = str(package.version or "")
            if not isinstance(chosen, PackageWheel):
                files = [_wheel_file(wheel) for wheel in package.wheels or ()]
                found.append(file.wheel(package.name, version, files, platform, has_source=True))
            else:
                found.append(file.wheel(package.name, version, [_wheel_file(chosen)], platform, has_source=False))
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise file.refuse(f"it is no valid pylock.toml: {error}", "Restore it from version control, or lock again.") from None
    except PylockSelectError as error:
        raise file.refuse(str(error), f"Lock again for {platform}.") from None
    return found


def _wheel_file(wheel: PackageWheel) -> WheelFile:
    return WheelFile(wheel.url, wheel.path, wheel.filename, wheel.hashes, wheel.size)
