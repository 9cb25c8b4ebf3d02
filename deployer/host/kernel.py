"""The kernel's settings, as sysctl(8) names them: read and set through `/proc/sys`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, List, Optional

from deployer.errors import DeploymentError
from deployer.host.process import one_line

SETTINGS: Final = "proc/sys"


class SettingRefused(DeploymentError):
    """The kernel does not take a setting."""

    key: str
    value: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the kernel refuses {self.key} = {one_line(self.value, 80)}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Correct the value, or remove the setting for hosts whose kernel does not have it."


def read(key: str, root: Path = Path("/")) -> Optional[str]:
    """The value of a key; None where the kernel has no such key, or does not let it be read."""
    parts = parts_of(key)
    if parts is None:
        return None
    try:
        return root.joinpath(SETTINGS, *parts).read_text(errors="replace").strip()
    except OSError:
        return None


def is_writable(key: str, root: Path = Path("/")) -> bool:
    """Whether a setting may be changed: some are for reading only, and in a container all of them may be."""
    parts = parts_of(key)
    return parts is not None and os.access(root.joinpath(SETTINGS, *parts), os.W_OK)


def write(key: str, value: str, root: Path = Path("/")) -> None:
    """Set it. Raises `SettingRefused`."""
    parts = parts_of(key)
    if parts is None:
        raise SettingRefused(key, value, "that is not the name of a setting")
    try:
        with open(root.joinpath(SETTINGS, *parts), "r+b", buffering=0) as file:
            file.write(value.encode() + b"\n")
    except OSError as error:
        raise SettingRefused(key, value, error.strerror or str(error)) from None


def is_same(one: str, other: str) -> bool:
    """Whether two values are the same but for white space: the kernel puts tabs where we have blanks."""
    return one.split() == other.split()


def parts_of(key: str) -> Optional[List[str]]:
    """The components of a key's path; None for what is no key.

    The first separator decides, as in sysctl.d(5): `net/ipv4/conf/eth0.1/forwarding` is a path, and in
    `net.ipv4.conf.eth0/1.forwarding` dots and slashes trade places.
    """
    dot, slash = key.find("."), key.find("/")
    is_path = slash >= 0 and not 0 <= dot < slash
    parts = key.split("/") if is_path else [part.replace("/", ".") for part in key.split(".")]
    is_wrong = any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts)
    return None if is_wrong or len(parts) < 2 else parts
