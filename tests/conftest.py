"""Configurations written by a test, and what they evaluate to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deployer.config import Config, Evaluator, HostView
from deployer.errors import DeployerError, ManyErrors
from tests.packages.repository import signing_key

# A busy machine is no fault of the inputs.
settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")

HOST = HostView(
    "web1", "192.0.2.1", ("web",), {"zone": "a"}, {"port": 8080, "word": "x", "list": ["p", "q"], "map": {"text": "t"}}
)


class Packages:
    """A package set of two, and a root tree."""

    def output_path(self, name: str) -> str:
        """A path of the right form."""
        return f"/nix/store/{'0' * 32}-{name}"

    def names(self) -> list[str]:
        """All three."""
        return ["hello", "tree", "world"]

    def is_tree(self, path: str) -> bool:
        """One is."""
        return path.endswith("-tree")


class Directory:
    """A directory of configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: str) -> Path:
        """Files by name, `__` for a slash and `.yaml` added; returns `main.yaml`."""
        for name, text in files.items():
            target = self.path / (name.replace("__", "/") + ("" if "." in name else ".yaml"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text))
        return self.path / "main.yaml"

    def evaluate(self, main: str, host: HostView = HOST, **files: str) -> Config:
        """What `main.yaml` with these other files evaluates to."""
        return Evaluator(packages=Packages()).evaluate(host, self.write(main=main, **files))

    def errors(self, main: str, host: HostView = HOST, **files: str) -> list[DeployerError]:
        """All that is wrong with it."""
        with pytest.raises(DeployerError) as caught:
            self.evaluate(main, host, **files)
        return [*caught.value.errors] if isinstance(caught.value, ManyErrors) else [caught.value]


@pytest.fixture(scope="module")
def keys() -> Iterator[tuple[Path, Path]]:
    """Of a Debian repository's signatures: the directory of the secret key, and the keyring with the public one."""
    with signing_key() as pair:
        yield pair


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """An empty directory."""
    return Directory(tmp_path)


@pytest.fixture
def packages() -> Packages:
    """A package set of two."""
    return Packages()
