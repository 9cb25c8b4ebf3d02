"""Machines that have apt, and machines that have not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

OTHERS = ("gpgv", "gpg", "gpgconf", "dpkg-deb", "tar", "rm", "sh")
"""What tests make repositories with, and what verifies signatures."""


@pytest.fixture(params=["apt", "resolvelib"])
def solver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What solves sets of Debian packages on this machine: apt, or resolvelib where there is none."""
    if request.param == "resolvelib":
        without_apt(tmp_path / "programs", monkeypatch)
    return str(request.param)


def without_apt(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this machine seem to be one without apt, with `directory` for its programs."""
    directory.mkdir()
    for name in OTHERS:
        (directory / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(directory))
