"""Where the module library lies."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def library_directory() -> Path:
    """The module library: `modules/` of a checkout, or what was installed with the package."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_modules"
    return installed if installed.is_dir() else package.parent / "modules"
