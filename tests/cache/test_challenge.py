"""Whether others made the same."""

from __future__ import annotations

import pytest

from deployer.cache import open_cache, push
from deployer.cache.challenge import Opinion, Verdict, challenge
from deployer.store import PathNotValid, Store
from tests.cache.world import built


@pytest.fixture
def shelves(store, tmp_path):
    """A path that is the same here and in both caches, one that is not in the second, and one that is in the first only."""
    theirs = Store(tmp_path / "theirs")
    paths = {name: built(store, name, b"ours") for name in ("same", "other", "alone", "nowhere")}
    push(store, [paths["same"], paths["other"], paths["alone"]], f"file://{tmp_path}/first")
    for name, content in [("same", b"ours"), ("other", b"theirs")]:
        built(theirs, name, content)
    push(theirs, [paths["same"], paths["other"]], f"file://{tmp_path}/second")
    return paths


async def test_a_path_is_identical_different_or_unknown(store, shelves, tmp_path):
    caches = [open_cache(f"file://{tmp_path}/{name}", check=False) for name in ("first", "second", "absent")]

    found = await challenge(store, [*shelves.values()], caches)

    assert [one.path for one in found] == [str(path) for path in shelves.values()]
    assert [one.verdict for one in found] == [Verdict.IDENTICAL, Verdict.DIFFERENT, Verdict.IDENTICAL, Verdict.UNKNOWN]
    assert [opinion.who for opinion in found[1].differing] == [f"file://{tmp_path}/second"]
    assert [opinion.note for opinion in found[2].opinions][1] == "does not have it"
    assert all("nix-cache-info" in one.opinions[2].note for one in found)


async def test_a_second_build_counts_like_a_cache(store, shelves):
    async def rebuild(infos):
        return {
            infos[0].path: Opinion("again", infos[0].nar_hash),
            infos[1].path: Opinion("again", "sha256:" + "0" * 52, "kept in /x"),
            infos[2].path: Opinion("again", note="its derivation is not here"),
        }

    found = await challenge(store, [*shelves.values()], (), rebuild=rebuild)

    assert [one.verdict.value for one in found] == ["identical", "different", "unknown", "unknown"]


async def test_what_is_not_here_can_not_be_compared(store, shelves, tmp_path):
    with pytest.raises(PathNotValid):
        await challenge(Store(tmp_path / "empty"), [shelves["same"]], ())
