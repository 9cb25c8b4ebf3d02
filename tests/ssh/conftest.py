"""Servers for these tests, and a home without SSH files of its own."""

from __future__ import annotations

import pytest

from tests.ssh import sshd


@pytest.fixture
def start(tmp_path):
    """Starts servers."""
    running = []

    def start(name, *settings):
        running.append(sshd.start(tmp_path / name, *settings))
        return running[-1]

    yield start
    for one in running:
        one.process.terminate()
        one.process.wait()


@pytest.fixture
def server(start):
    """A running server."""
    return start("server")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home and a state directory of the test's own; no agent."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home
