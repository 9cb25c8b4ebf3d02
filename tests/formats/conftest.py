"""Real Nix for tests that compare with it."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.formats.oracle import Nix


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-store"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")
    directory = tmp_path / "nix"
    directory.mkdir()
    return Nix(directory)
