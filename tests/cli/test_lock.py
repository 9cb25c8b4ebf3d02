"""`deployer lock`, and what `package show` says of what it pins: for an attribute that a real Nix evaluates."""

from __future__ import annotations

import pytest

from deployer.packages.lockfile import LOCK_NAME, Lock
from tests.packages.nix_project import NixProject

pytestmark = pytest.mark.nix


@pytest.fixture
def project(deployer, tmp_path, monkeypatch):
    made = NixProject(tmp_path, monkeypatch)
    made.write("tool: {kind: nix, file: expression.nix, attribute: tool}\n")
    monkeypatch.chdir(tmp_path)
    return made


def test_what_an_attribute_came_to_is_told_once_and_then_as_before(deployer, project):
    dry = deployer("lock", "--dry-run")
    assert (dry.code, (project.directory / LOCK_NAME).exists()) == (0, False)
    first = deployer("lock")
    assert (first.code, first.out) == (0, dry.out)
    path = Lock.read(project.directory / LOCK_NAME).nix["tool"].path

    assert first.out.splitlines() == [f"tool: {path} pinned", "  + tool  tool-1.0"]
    assert deployer("lock").out == f"tool: {path} pinned, as before\n"
    document = deployer("--json", "lock", "--update", "tool").document
    assert document == {"package": "tool", "pinned": 1, "changes": [], "dry_run": False}


def test_what_is_no_longer_asked_for_leaves_the_lock(deployer, project):
    deployer("lock")
    project.write("tool: {kind: nix, path: /nix/store/" + "0" * 32 + "-tool}\n")

    assert deployer("lock").out.splitlines() == ["tool: no longer pinned", "  - tool  tool-1.0"]
    assert Lock.read(project.directory / LOCK_NAME) == Lock({})


def test_a_package_shows_the_path_that_it_is(deployer, project):
    deployer("lock")
    path = Lock.read(project.directory / LOCK_NAME).nix["tool"].path

    assert f"  made from   {path}\n" in deployer("package", "show", "tool").out
    assert deployer("--json", "package", "show", "tool").document["made_from"] == [path]
