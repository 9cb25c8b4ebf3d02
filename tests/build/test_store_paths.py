"""Packages of kind `nix`: store paths that a signed binary cache has."""

from __future__ import annotations

import json

import pytest

from deployer.build import BuildSettings, realise
from deployer.build.store_paths import fetch_store_paths
from deployer.cache import SecretKey, open_caches, push
from deployer.errors import ManyErrors
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import make_derivation
from deployer.packages.errors import PackageInvalid, StorePathMissing
from deployer.store import Store
from tests.cache.world import KEY, built


@pytest.fixture
def tool(tmp_path):
    """A path in a cache, signed, that refers to another."""
    store = Store(tmp_path / "theirs")
    library = built(store, "library", b"library")
    path = built(store, "tool", b"tool ", [library])
    push(store, [path], f"file://{tmp_path}/cache", key=KEY)
    return path, library


@pytest.fixture
def settings(tmp_path):
    """Of builds that ask that cache, and trust the given keys."""

    def trusting(*keys):
        return BuildSettings(substituters=[open_caches([f"file://{tmp_path}/cache"], trusted_keys=[key.public for key in keys])])

    return trusting


@pytest.fixture
def packages(tmp_path, tool):
    """A set of that path, and another that no cache has."""
    text = f"tool: {{kind: nix, path: {tool[0]}}}\nnone:\n  kind: nix\n  path: /nix/store/{'0' * 32}-none\n"
    (tmp_path / "packages.yaml").write_text(text)
    return PackageSet.load(tmp_path / "packages.yaml")


async def test_it_comes_with_all_that_it_refers_to_and_others_are_made_from_it(tmp_path, packages, tool, settings):
    store, made = Store(tmp_path / "ours"), packages.made("tool")
    top = make_derivation(
        "top",
        builder="builtin:tree",
        system="builtin",
        inputs=(made,),
        store_dir="/nix/store",
        environment={"entries": json.dumps([{"path": "copy", "type": "file", "source": str(made.output)}])},
    )

    assert packages.cached_paths([top]) == (tool[0],)
    await fetch_store_paths(store, packages, [top], settings(KEY))
    packages.write(store, [top])
    await realise(store, [top.path], settings=BuildSettings())

    assert set(store.closure([made.output])) == {made.output, *tool}
    assert (store.physical(top.output) / "copy").read_bytes() == f"tool {tool[1]}".encode()
    assert packages.output_path("tool") == str(made.output)


async def test_what_no_trusted_cache_has_is_told_with_its_place_all_together(tmp_path, packages, settings):
    store = Store(tmp_path / "ours")
    made = [packages.made(name) for name in ("tool", "none")]

    with pytest.raises(ManyErrors) as caught:
        await fetch_store_paths(store, packages, made, settings(SecretKey.generate("stranger")))

    none, tool = caught.value.errors
    assert isinstance(none, StorePathMissing)
    assert str(none.location).endswith("packages.yaml:4:3")
    assert "only test-1 signed it" in tool.message
    assert "--trusted-key" in tool.remedy
    assert not any(store.is_valid(path) for path in packages.cached_paths(made))


async def test_without_a_cache_nothing_is_written(tmp_path, packages):
    store = Store(tmp_path / "ours")

    with pytest.raises(StorePathMissing, match="no binary cache has it"):
        packages.write(store, [packages.made("tool")])

    assert not store.is_valid(packages.derivation_path("tool"))


@pytest.mark.parametrize("path", ["/nix/store/short-x", "hello", "/nix/store/../x", "${HOME}/x"])
def test_what_is_no_store_path_is_refused(tmp_path, path):
    (tmp_path / "packages.yaml").write_text(f"tool:\n  kind: nix\n  path: {path}\n")

    with pytest.raises(PackageInvalid, match="is no store path") as caught:
        PackageSet.load(tmp_path / "packages.yaml")

    assert str(caught.value.place).endswith("packages.yaml:3:3")
