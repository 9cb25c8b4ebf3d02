"""Real Nix, in a store of its own, as the judge of what we read and write."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


class Nix:
    """Nix's commands on a private store directory; the machine's own is never touched."""

    def __init__(self, directory):
        self.directory = directory
        self.store_dir = str(directory / "store")
        configuration = directory / "conf"
        configuration.mkdir()
        settings = ("build-users-group =", "experimental-features = nix-command", "sandbox = false", "substituters =")
        (configuration / "nix.conf").write_text("\n".join(settings) + "\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "NIX_REMOTE": "",
            "NIX_CONF_DIR": str(configuration),
            "NIX_STORE_DIR": self.store_dir,
            "NIX_STATE_DIR": str(directory / "var"),
            "NIX_LOG_DIR": str(directory / "log"),
        }

    def run(self, *command, stdin=b"", check=True):
        done = subprocess.run(command, input=stdin, env=self.environment, capture_output=True, timeout=60, check=False)
        if check:
            assert done.returncode == 0, done.stderr.decode()
        return done

    def text(self, *command):
        return self.run(*command).stdout.decode().strip()


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-store"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")
    directory = tmp_path / "nix"
    directory.mkdir()
    return Nix(directory)
