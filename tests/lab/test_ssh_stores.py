"""Stores of real hosts as binary caches, over real SSH."""

from __future__ import annotations

import pytest

from deployer.store import Store, verify
from tests.cache.world import built
from tests.lab.fleet import Fleet


@pytest.fixture
def fleet(tmp_path, machines, fresh_host, monkeypatch):
    """Whose user's SSH settings are the lab's."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "config").write_text(machines.lab.ssh_config.read_text())
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(machines.lab.known_hosts.read_text())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Fleet(tmp_path, machines.lab, fresh_host)


def test_a_closure_goes_to_a_host_and_comes_back(fleet, fresh_host, tmp_path):
    ours, theirs = Store(tmp_path / "ours"), Store(tmp_path / "theirs")
    low = built(ours, "low", b"low" * 100_000)
    top = built(ours, "top", b"", [low])
    url = f"ssh://root@{fresh_host.address}?ssh-key={fleet.lab.identity_file}"

    there = fleet.run("store", "--store-root", str(ours.root), "copy", "--to", url, str(top))
    untrusted = fleet.run("store", "--store-root", str(theirs.root), "copy", "--from", url, str(top))
    back = fleet.run("store", "--store-root", str(theirs.root), "copy", "--from", f"{url}&trusted=true", str(top))

    assert (there.exit_code, untrusted.exit_code, back.exit_code) == (0, 1, 0), there.text + untrusted.text + back.text
    assert "is not trusted" in untrusted.text
    assert theirs.closure([top]) == ours.closure([top])
    assert verify(theirs) == ()
