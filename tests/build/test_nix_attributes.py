"""Attributes of Nix expressions on their way into a store: from a cache, from Nix's store, or built by Nix."""

from __future__ import annotations

import pytest

from deployer.build import BuildSettings, realise
from deployer.build.errors import BuildFailed
from deployer.build.events import BuildEnded, BuildLogged, BuildStopped
from deployer.build.store_paths import fetch_store_paths
from deployer.cache import open_caches, push
from deployer.packages import PackageSet
from deployer.packages.errors import LockOutdated, StorePathMissing
from deployer.packages.locking import lock_packages
from deployer.store import Store
from tests.cache.world import KEY
from tests.packages.nix_project import NixProject

pytestmark = pytest.mark.nix
TOOL = "tool: {{kind: nix, file: expression.nix, attribute: {}}}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return NixProject(tmp_path, monkeypatch)


@pytest.fixture
def locked(project):
    """The set of one package, pinned."""

    async def lock(attribute="tool"):
        project.write(TOOL.format(attribute))
        await lock_packages(project.file)
        return PackageSet.load(project.file)

    return lock


async def fetch(packages, store, events=None, **settings):
    made = packages.made("tool")
    events = [] if events is None else events
    await fetch_store_paths(store, packages, [made], BuildSettings(**settings), on_event=events.append)
    packages.write(store, [made])
    await realise(store, [made.path], settings=BuildSettings())
    return store.physical(made.output)


async def test_nix_builds_it_and_it_comes_with_all_that_it_refers_to(project, locked, tmp_path):
    packages, store = await locked(), Store(tmp_path / "ours")
    events: list[object] = []

    output = await fetch(packages, store, events)

    (theirs,) = project.nix("nix-build", "expression.nix", "-A", "tool", "--no-out-link")
    closure = project.nix("nix-store", "--query", "--requisites", theirs)
    assert len(closure) == 2
    assert str(output.readlink()) == theirs
    for path in closure:
        (nar_hash,) = project.nix("nix-store", "--query", "--hash", path)
        references = project.nix("nix-store", "--query", "--references", path)
        assert (store.query(path).nar_hash, [*store.query(path).references]) == (nar_hash, references)
    (ended,) = (event for event in events if isinstance(event, BuildEnded))
    assert (ended.name, ended.outputs) == ("tool-1.0", (theirs,))
    assert not [*store.layout.store.glob("*-doc")], "an output that nobody asked for"


async def test_what_nix_has_already_is_copied_without_looking_at_the_expression(project, locked, tmp_path):
    packages = await locked()
    project.nix("nix-build", "expression.nix", "-A", "tool", "--no-out-link")
    (project.directory / "expression.nix").write_text("throw ''nobody is to look''")

    assert await fetch(packages, Store(tmp_path / "ours"))


async def test_a_store_that_is_nixs_too_takes_over_what_stands_there(project, locked):
    packages, both = await locked(), Store(project.store)
    (theirs,) = project.nix("nix-build", "expression.nix", "-A", "tool", "--no-out-link")

    assert str((await fetch(packages, both)).readlink()) == theirs

    assert len(both.closure([theirs])) == 2
    project.nix("nix-store", "--verify", "--check-contents")


async def test_a_cache_has_it_for_machines_without_nix(locked, tmp_path, monkeypatch):
    packages, theirs = await locked(), Store(tmp_path / "theirs")
    await fetch(packages, theirs)
    push(theirs, [packages.made("tool").sources[0].path], f"file://{tmp_path}/cache", key=KEY)
    monkeypatch.setenv("PATH", "/nowhere")

    caches = open_caches([f"file://{tmp_path}/cache"], trusted_keys=[KEY.public])
    assert await fetch(packages, Store(tmp_path / "ours"), substituters=[caches])

    with pytest.raises(StorePathMissing, match="no cache is named, and no Nix is here") as caught:
        await fetch(packages, Store(tmp_path / "third"))
    assert "build where there is a Nix, which makes it of expression.nix" in caught.value.remedy
    assert str(caught.value.location).endswith("packages.yaml:1:41")


async def test_an_expression_that_comes_to_something_else_now_is_refused(project, locked, tmp_path):
    packages, store = await locked(), Store(tmp_path / "ours")
    file = project.directory / "expression.nix"
    file.write_text(file.read_text().replace("from $library", "with $library"))
    derivation = packages.pinned_attribute(packages.made("tool").sources[0].path).locked.derivation
    project.nix("nix-store", "--delete", derivation)

    with pytest.raises(LockOutdated, match=r"pins what expression\.nix no longer comes to"):
        await fetch(packages, store)

    assert not [*store.layout.store.glob("*-*")]


async def test_a_build_that_fails_in_nix_is_told_as_any_other_and_has_a_log(locked, tmp_path):
    packages, store = await locked("broken"), Store(tmp_path / "ours")
    events: list[object] = []

    with pytest.raises(BuildFailed, match="something is wrong") as caught:
        await fetch(packages, store, events)

    assert caught.value.status
    assert any("something is wrong" in event.line for event in events if isinstance(event, BuildLogged))
    assert isinstance(events[-1], BuildStopped)
    assert not [*store.temporary_directory.iterdir()]
    assert [*(store.log_directory / "drvs").glob("*/*-broken-1.drv.bz2")]
