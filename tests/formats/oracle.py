"""Real Nix, in a store of its own, as the judge of what we read and write."""

from __future__ import annotations

import os
import subprocess


class Nix:
    """Nix's commands on a private store directory; the machine's own is never touched."""

    def __init__(self, directory, *, store_dir="", remote=""):
        """`store_dir`: another store's directory, of whose paths this one knows none; `remote`: what Nix calls a store."""
        self.directory = directory
        self.store_dir = store_dir or str(directory / "store")
        configuration = directory / "conf"
        configuration.mkdir()
        settings = (
            "build-users-group =",
            "experimental-features = nix-command",
            "sandbox = false",
            "substituters =",
            "fsync-metadata = false",
        )
        (configuration / "nix.conf").write_text("\n".join(settings) + "\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "NIX_REMOTE": remote,
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
