"""Collecting, deleting, verifying, repairing: what is printed, and what is left."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

from deployer.packages.derivation_inputs import make_derivation
from deployer.store import Store, verify
from deployer.store.generations import add_generations
from tests.cli.store.conftest import give


def fill(store, *texts):
    """Texts that nothing keeps, not even this process."""
    paths = [str(store.add_text(text, text.encode() * 500)) for text in texts]
    store._roots.close()
    return paths


def test_the_collector_says_what_it_did(deployer, store):
    gone, kept = fill(store, "gone", "kept")
    store.add_root("mine", kept)

    dry = deployer("store", "gc", "--dry-run")
    assert (dry.out, dry.err) == ("1 store paths would be deleted, 0.00 MiB would be freed\n", f"would delete '{gone}'\n")
    assert deployer("store", "gc", "--print-dead").out == f"{gone}\n"
    assert deployer("store", "gc", "--print-live").out == f"{kept}\n"
    assert deployer("store", "gc", "--print-roots").out == f"{store.layout.roots}/mine -> {kept}\n"
    real = deployer("store", "gc")
    assert (real.code, real.out, real.err) == (0, "1 store paths deleted, 0.00 MiB freed\n", f"deleting '{gone}'\n")

    assert store.valid([gone, kept]) == {kept}


@pytest.mark.nix
def test_what_would_go_and_what_stays_is_what_nix_says(deployer, nix, shelf):
    paths = shelf.tangle(8, 20)
    give(shelf.store, nix, paths)
    shelf.store._roots.close()
    for number, path in enumerate(paths[-3:]):
        shelf.store.add_root(f"root-{number}", path)
        os.symlink(str(path), nix.root / "nix/var/nix/gcroots" / f"root-{number}")

    for printed in ("--print-dead", "--print-live"):
        theirs = nix.text("nix-store", "--gc", printed)
        assert sorted(deployer("store", "gc", printed).out.split()) == sorted(theirs.split())
    freed = deployer("store", "gc").out
    assert re.sub(r"[0-9.]+ MiB", "MiB", freed) == re.sub(r"[0-9.]+ MiB", "MiB", nix.text("nix-store", "--gc"))


def test_old_systems_of_hosts_go_first(deployer, store):
    paths = fill(store, "one", "two", "three")
    for path in paths:
        add_generations(store, {"host-web1": path})
    for number, days in ((1, 40), (2, 35)):
        link = store.layout.roots / f"host-web1-{number}-link"
        os.utime(link, (time.time() - days * 86_400,) * 2, follow_symlinks=False)

    dry = deployer("store", "gc", "--delete-older-than", "30d", "--dry-run", "--json").document
    assert (dry["paths"], dry["generations"]) == ([paths[0]], ["host-web1-1-link"])
    assert len(store.valid(paths)) == 3
    assert deployer("store", "gc", "--delete-older-than", "30d", "--json").document["paths"] == [paths[0]]

    assert store.valid(paths) == set(paths[1:])
    assert sorted(os.listdir(store.layout.roots)) == ["host-web1-2-link", "host-web1-3-link"]


def test_a_host_that_is_no_more_is_forgotten(deployer, store):
    one, two = fill(store, "one", "two")
    add_generations(store, {"host-web1": one, "host-web2": two})

    unknown = deployer("store", "gc", "--forget-host", "wbe1")
    assert (unknown.code, "Did you mean web" in unknown.err) == (2, True)
    assert deployer("store", "gc", "--forget-host", "web1", "--json").document["paths"] == [one]

    assert os.listdir(store.layout.roots) == ["host-web2-1-link"]


@pytest.mark.parametrize("option", [("--max-freed", "much"), ("--delete-older-than", "30"), ("--dry-run", "--print-dead")])
def test_wrong_limits_are_usage(deployer, store, option):
    fill(store, "one")

    assert deployer("store", "gc", *option).code == 2


def test_a_collection_can_be_small(deployer, store):
    fill(store, "one", "two", "three")

    assert deployer("store", "gc", "--max-freed", "0.5K").out.startswith("1 store paths deleted")


def test_what_is_needed_is_not_deleted(deployer, shelf):
    low = shelf.put("low")
    high = shelf.put("high", low)
    shelf.store._roots.close()

    alive = deployer("store", "delete", str(low))
    assert (alive.code, f"because {high} refers to it" in alive.err) == (1, True)
    assert deployer("store", "delete", "--json", str(low), str(high)).document["paths"] == sorted([str(low), str(high)])
    assert shelf.store.valid([low, high]) == set()


def test_equal_files_are_counted(deployer, store):
    fill(store, "one")

    assert deployer("store", "optimise").err == "0.00 MiB freed by hard-linking 0 files\n"
    assert deployer("store", "optimise", "--json").document == {"bytes": 0, "files": 0}


def damage(store, path):
    place = next(place for place in [store.physical(path), *store.physical(path).glob("*")] if place.is_file())
    place.chmod(0o644)
    place.write_text("damaged")


@pytest.mark.nix
def test_damage_is_told_as_nix_tells_it(deployer, nix, shelf):
    path = shelf.put("one")
    give(shelf.store, nix, [path])
    for store in (shelf.store, Store(nix.root)):
        damage(store, path)

    assert deployer("store", "verify").code == 0
    ours = deployer("store", "verify", "--check-contents")
    theirs = nix.errors("nix-store", "--verify", "--check-contents", code=1)

    assert ours.code == 1
    assert re.findall("^path .*$", ours.err, re.MULTILINE) == re.findall("^path .*$", theirs, re.MULTILINE)


@pytest.mark.nix
def test_damage_is_not_exported(deployer, nix, shelf, pipe):
    path = shelf.put("one")
    give(shelf.store, nix, [path])
    for store in (shelf.store, Store(nix.root)):
        damage(store, path)

    pipe("export", str(path), code=1)
    nix.run("nix-store", "--export", str(path), code=1)


def test_what_was_built_is_built_again(deployer, store):
    entries = json.dumps([{"path": "file", "type": "file", "text": "content"}])
    more = {"builder": "builtin:tree", "system": "builtin", "store_dir": store.store_dir}
    made = make_derivation("tree", environment={"entries": entries}, **more)
    output = deployer("store", "realise", str(store.write_derivation(made.derivation))).out.strip()
    damage(store, output)

    assert deployer("store", "verify", "--check-contents").code == 1
    answer = deployer("store", "verify", "--check-contents", "--repair", "--json")

    assert (answer.code, [one["repaired"] for one in answer.document["damaged"]]) == (0, [True])
    assert verify(store) == ()
    assert os.listdir(store.temporary_directory) == []


def test_what_a_cache_has_is_fetched_again(deployer, shelf, tmp_path):
    path = shelf.put("top", shelf.put("low"), itself=True)
    deployer("key", "generate", "me-1", str(tmp_path / "secret"), str(tmp_path / "public"))
    cache = f"file://{tmp_path}/cache"
    deployer("store", "copy", "--to", cache, "--key-file", str(tmp_path / "secret"), str(path))
    damage(shelf.store, path)
    caches = ("--substituter", cache, "--trusted-key", (tmp_path / "public").read_text())

    alone = deployer("store", "verify", "--check-contents", "--repair")
    answer = deployer("store", "verify", "--check-contents", "--repair", *caches)

    assert (alone.code, "not all store errors were fixed" in alone.err) == (1, True)
    assert (answer.code, f"repaired '{path}'" in answer.err) == (0, True)
    assert verify(shelf.store) == ()
    assert os.listdir(shelf.store.temporary_directory) == []
