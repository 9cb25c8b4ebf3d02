"""Packages of kind `python`: which wheels a lock file means on the Linux of an interpreter.

`select_wheels` is the way in. For requirements files, which say no URLs, `deployer lock` finds wheels in an index (`pinning`).
Nothing else here asks the machine that runs it: version, C library and architecture are those of the Debian packages that the
interpreter is locked to, so the same files give the same wheels everywhere.
"""

from __future__ import annotations

from deployer.packages.python.platform import PythonPlatform
from deployer.packages.python.selection import select_wheels
from deployer.packages.python.wheels import LockedWheel

__all__ = ["LockedWheel", "PythonPlatform", "select_wheels"]
