"""Packages of kind `npm`: which tarballs a `package-lock.json` means on the Linux of an interpreter, and what is made of them.

`select_packages` is the way in, and `environment_of` makes derivations of what it found. Nothing here asks the machine that runs
it: the architecture is that of the Debian packages that the interpreter is locked to, so the same files give the same everywhere.
"""

from __future__ import annotations

from deployer.packages.npm.environment import NodeInputs, environment_of
from deployer.packages.npm.platform import NodePlatform
from deployer.packages.npm.selection import LockedProject, select_packages
from deployer.packages.npm.tarballs import LockedTarball
from deployer.packages.npm.unmet import warning_of_unmet

__all__ = [
    "LockedProject",
    "LockedTarball",
    "NodeInputs",
    "NodePlatform",
    "environment_of",
    "select_packages",
    "warning_of_unmet",
]
