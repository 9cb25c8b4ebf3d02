"""The command line, called in this process as a user's shell would call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployer.cli.main import run

QUICKSTART = Path(__file__).parents[2] / "inventories" / "quickstart"


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def deployer(capfd, monkeypatch, tmp_path) -> Command:
    """Run `deployer ARGUMENTS` in an empty directory, with a store and a history of its own."""
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    for name in ("DEPLOYER_INVENTORY", "DEPLOYER_STORE_ROOT", "DEPLOYER_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*arguments: str) -> Answer:
        code = run(arguments)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return call
