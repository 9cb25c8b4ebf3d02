"""One store of ours, and a real Nix's with the same paths."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deployer.formats import StorePath
from deployer.formats.storepath import make_store_path
from deployer.store import Store
from deployer.store.exporting import export_paths

PROGRAM = (sys.executable, "-m", "deployer", "store")


class Nix:
    """Nix's commands on a store below a directory of the test; its paths are below /nix/store, as ours are."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        configuration = directory / "conf"
        configuration.mkdir(parents=True)
        settings = ("build-users-group =", "experimental-features = nix-command", "substituters =", "sandbox = false")
        (configuration / "nix.conf").write_text("\n".join(settings) + "\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "NIX_CONF_DIR": str(configuration),
            "NIX_REMOTE": f"local?root={self.root}",
        }

    def call(self, *command: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(command, input=stdin, env=self._environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr.decode()
        return done

    def run(self, *command: str, stdin: bytes = b"", code: int = 0) -> bytes:
        return self.call(*command, stdin=stdin, code=code).stdout

    def errors(self, *command: str, code: int = 0) -> str:
        return self.call(*command, code=code).stderr.decode()

    def text(self, *command: str, code: int = 0) -> str:
        return self.run(*command, code=code).decode()


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-store"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")
    return Nix(tmp_path / "nix")


@pytest.fixture
def store(deployer, monkeypatch, tmp_path) -> Store:
    """The store that commands of this test mean."""
    root = tmp_path / "ours"
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(root))
    return Store(root)


@pytest.fixture
def pipe(store):
    """A command of ours in a process of its own, with bytes on both sides."""

    def call(*arguments, stdin=b"", code=0):
        environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(store.root), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run((*PROGRAM, *arguments), input=stdin, capture_output=True, env=environment, timeout=120, check=False)
        assert done.returncode == code, done.stderr.decode()
        return done.stdout

    return call


class Shelf:
    """Puts paths with any references into a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, name: str, *references: StorePath, itself: bool = False, content: str = "", deriver: str = "") -> StorePath:
        """A directory that mentions these in a file, and the first of them by a link, too."""
        inner = hashlib.sha256(f"{name} {references} {content}".encode()).digest()
        path = make_store_path("output:out", inner, name)
        made = Path(self.store.batch().place())
        made.mkdir(parents=True)
        mentioned = [*references, *([path] if itself else [])]
        (made / "file").write_text(content + "".join(f"see {other}/\x01.\n" for other in mentioned))
        if references:
            (made / "link").symlink_to(f"{references[0]}/file")
        self.store.register_output(path, made, candidates=references, deriver=deriver or None)
        return path

    def tangle(self, seed: int, size: int = 25) -> list[StorePath]:
        """Paths that refer to one another at random."""
        chance = random.Random(seed)
        paths: list[StorePath] = []
        for number in range(size):
            chosen = chance.sample(paths, min(len(paths), chance.randrange(4)))
            name = chance.choice(["lib", "two-words", "tool-1.2", "tool-1.10-dev", "x"]) + (f"-{number}" if number % 3 else "")
            paths.append(self.put(name, *chosen, itself=chance.random() < 0.3, content=f"{number}" * chance.randrange(9000)))
        return paths


@pytest.fixture
def shelf(store: Store) -> Shelf:
    _ = store.database
    return Shelf(store)


def give(store: Store, nix: Nix, paths: list[StorePath]) -> None:
    """Have paths, and all that they refer to, in Nix's store."""
    stream: list[bytes] = []
    export_paths(store, store.closure(paths), stream.append)
    nix.run("nix-store", "--import", stdin=b"".join(stream))
