"""What keeps paths: links of users, and the systems of hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deployer.formats import StorePath
from deployer.packages.derivation_inputs import make_derivation
from deployer.store import Store, collect
from deployer.store.generations import generations
from tests.cli.store.conftest import give


@pytest.fixture
def derivation(store: Store) -> StorePath:
    """Of a tree with one file, that our own code makes."""
    entries = json.dumps([{"path": "file", "type": "file", "text": "content"}])
    made = make_derivation(
        "tree", builder="builtin:tree", system="builtin", environment={"entries": entries}, store_dir=store.store_dir
    )
    return store.write_derivation(made.derivation)


def test_what_is_realised_is_kept_by_its_link_as_long_as_it_is_there(deployer, pipe, store, derivation):
    # In a process of its own, because a process keeps what it has made until it ends.
    assert pipe("realise", "--add-root", "result", str(derivation)).decode() == f"{os.path.abspath('result')}\n"

    assert Path("result/file").read_text() == "content"
    output = deployer("store", "query", "--resolve", "result").out.strip()
    assert deployer("store", "query", "--roots", "result").out == f"{os.path.abspath('result')} -> {output}\n"
    assert output not in collect(Store(store.root)).paths
    os.unlink("result")
    assert output in collect(Store(store.root), dry_run=True).paths


def test_what_a_process_has_open_is_kept_and_told(deployer, store):
    path = store.add_text("open", b"x" * 100)
    store._roots.close()

    with store.physical(path).open() as file:
        roots = deployer("store", "query", "--roots", str(path)).out
        assert roots == f"/proc/{os.getpid()}/fd/{file.fileno()} -> {path}\n"
        assert deployer("store", "gc").out.startswith("0 store paths deleted")
    assert deployer("store", "gc").out.startswith("1 store paths deleted")


def test_realising_prints_outputs_and_again_costs_nothing(deployer, store, derivation):
    dry = deployer("store", "realise", "--dry-run", str(derivation))
    assert (dry.err, store.is_valid(dry.out.strip())) == (f"would build {derivation}\n", False)

    first = deployer("store", "realise", str(derivation))
    second = deployer("store", "realise", f"{derivation}!out", dry.out.strip())

    assert (first.code, first.out) == (0, dry.out)
    assert (second.code, second.out, second.err) == (0, first.out * 2, "")
    assert deployer("store", "realise", "--json", str(derivation)).document["valid"] == [dry.out.strip()]
    assert "has no output 'dev'" in deployer("store", "realise", f"{derivation}!dev").err


@pytest.mark.nix
def test_derivations_and_what_they_made_are_told_as_nix_tells_them(deployer, nix, store, derivation):
    output = StorePath.parse(deployer("store", "realise", str(derivation)).out.strip())
    give(store, nix, [derivation, output])

    for query in (("--deriver", output), ("--outputs", derivation), ("--requisites", "--include-outputs", derivation)):
        asked = [str(word) for word in query]
        assert deployer("store", "query", *asked).out == nix.text("nix-store", "--query", *asked)
    for question in ("--requisites", "--referrers", "--hash", "--graph"):
        asked = [question, "--use-output", str(derivation)]
        assert deployer("store", "query", *asked).out == nix.text("nix-store", "--query", *asked)


@pytest.mark.nix
def test_what_goes_besides_what_was_built_is_what_nix_says(deployer, pipe, nix, store, derivation):
    output = StorePath.parse(pipe("realise", str(derivation)).decode().strip())
    other = store.add_text("other", b"x")
    give(store, nix, [derivation, output, other])
    store._roots.close()
    for roots in (store.layout.roots, nix.root / "nix/var/nix/gcroots"):
        os.symlink(str(output), roots / "mine")

    dead = deployer("store", "gc", "--print-dead")

    assert set(dead.out.split()) == set(nix.text("nix-store", "--gc", "--print-dead").split()) == {str(other)}


def test_a_host_keeps_its_systems(deployer, store):
    Path("inventory.yaml").write_text("hosts: {web1: , web2: }\nconfiguration: main.yaml\n")
    for text in ("one", "one", "two"):
        Path("main.yaml").write_text(f"etc: {{a: {{text: {text}}}}}\n")
        assert deployer("build").code == 0

    kept = generations(store)

    assert [one.root for one in kept] == [f"host-web{host}-{number}-link" for host in (1, 2) for number in (1, 2)]
    assert {one.path for one in kept[:2]} == {one.path for one in kept[2:]}
    assert deployer("store", "query", "--roots", kept[0].path).out.count(" -> ") == 2
