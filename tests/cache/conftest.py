"""Stores to push from, caches to push to, and a Nix to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from deployer.store import Store
from tests.cache.world import BIG, KEY, built


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "root")


@pytest.fixture
def low(store):
    return built(store, "low", BIG)


@pytest.fixture
def top(store, low):
    return built(store, "top", b"", [low])


@pytest.fixture
def url(tmp_path):
    return f"file://{tmp_path}/cache"


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")
    (tmp_path / "conf").mkdir()
    settings = ["build-users-group =", "experimental-features = nix-command", "substituters ="]
    (tmp_path / "conf" / "nix.conf").write_text("\n".join([*settings, f"trusted-public-keys = {KEY.public}"]) + "\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "NIX_CONF_DIR": str(tmp_path / "conf"),
        "NIX_REMOTE": f"local?root={tmp_path}/theirs",
    }

    def run(*command, stdin=""):
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
