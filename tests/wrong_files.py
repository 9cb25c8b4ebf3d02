"""Files with one thing wrong each, and below it, behind `#:`, all that is printed of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from deployer.config.library_place import library_directory
from deployer.errors import DeployerError
from deployer.ui.problems import render_error

MARK = "#:"


def wrong_files(directory: Path) -> list[Path]:
    """All of a directory, in order of name."""
    return sorted(directory.glob("*.yaml"))


def expected_of(file: Path) -> str:
    """What is to be printed of a file."""
    lines = [line.removeprefix(MARK) for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(MARK)]
    return "\n".join(line.removeprefix(" ") for line in lines)


def printed_of(file: Path, read: Callable[[Path], object]) -> str:
    """What is printed once `read` has read a file: paths are relative, and lines of modules, which move, are left out."""
    with pytest.raises(DeployerError) as caught:
        read(file)
    printed = render_error(caught.value).replace(f"{file.parent}/", "").replace(f"{library_directory().parent}/", "")
    return re.sub(r"(modules/\w+\.py):\d+", r"\1", printed).rstrip()
