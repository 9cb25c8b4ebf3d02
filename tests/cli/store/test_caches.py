"""To binary caches, from them, and compared with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from deployer.formats import StorePath
from deployer.packages.derivation_inputs import make_derivation
from deployer.store import Store


def tree(store: Store, text: str) -> StorePath:
    """A derivation of a tree with one file."""
    entries = json.dumps([{"path": "file", "type": "file", "text": text}])
    made = make_derivation(
        "tree", builder="builtin:tree", system="builtin", environment={"entries": entries}, store_dir="/nix/store"
    )
    return store.write_derivation(made.derivation)


@pytest.fixture
def keys(deployer, tmp_path) -> tuple[str, str]:
    """The file of a secret key, and the public key."""
    assert deployer("key", "generate", "me-1", str(tmp_path / "secret"), str(tmp_path / "public")).code == 0
    return str(tmp_path / "secret"), (tmp_path / "public").read_text()


def test_paths_are_copied_to_a_cache_and_back(deployer, shelf, tmp_path, keys):
    path = shelf.put("top", shelf.put("low"))
    cache, other = f"file://{tmp_path}/cache", ("--store-root", str(tmp_path / "other"))
    assert deployer("store", "copy", "--to", cache, "--key-file", keys[0], str(path)).code == 0

    untrusted = deployer("store", *other, "copy", "--from", cache, str(path))
    trusted = deployer("store", *other, "copy", "--from", cache, "--trusted-key", keys[1], str(path), "--json")

    assert (untrusted.code, "nobody" in untrusted.err or "not trusted" in untrusted.err) == (1, True)
    assert trusted.document["copied"] == sorted(str(one) for one in shelf.store.closure([path]))
    assert deployer("store", *other, "query", "-R", str(path)).out == deployer("store", "query", "-R", str(path)).out


@pytest.mark.nix
def test_nix_takes_what_is_served_and_what_was_pushed(deployer, nix, shelf, tmp_path, keys):
    path = shelf.put("top", shelf.put("low"), itself=True)
    command = [sys.executable, "-m", "deployer", "cache", "serve", "--port", "0", "--key-file", keys[0], "--json"]
    environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(shelf.store.root), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        nix.run("nix", "copy", "--from", url, "--option", "trusted-public-keys", keys[1], str(path))
        server.terminate()
        assert server.wait(20) == 0
    deployer("store", "copy", "--to", f"file://{tmp_path}/cache", "--key-file", keys[0], "--compression", "xz", str(path))
    second = type(nix)(tmp_path / "second")
    second.run("nix", "copy", "--from", f"file://{tmp_path}/cache", "--option", "trusted-public-keys", keys[1], str(path))

    for one in (nix, second):
        assert one.text("nix-store", "--query", "--tree", str(path)) == deployer("store", "query", "--tree", str(path)).out
        one.run("nix-store", "--verify", "--check-contents")


def test_a_missing_path_is_fetched_and_a_cache_that_has_none_is_told(deployer, shelf, tmp_path, keys):
    path = shelf.put("top", shelf.put("low"))
    cache, other = f"file://{tmp_path}/cache", tmp_path / "other"
    deployer("store", "copy", "--to", cache, "--key-file", keys[0], str(path))
    _ = Store(other).database
    arguments = ("store", "--store-root", str(other), "realise", "--substituter", cache, "--trusted-key", keys[1])

    assert deployer(*arguments, str(path)).out == f"{path}\n"
    unknown = deployer(*arguments, str(shelf.put("elsewhere")))

    assert (unknown.code, "is not valid in the store at" in unknown.err) == (1, True)


def test_a_cache_that_is_out_of_reach_is_told_once_and_the_rest_is_built(deployer, store):
    path = tree(store, "built")
    caches = ("--substituter", "http://127.0.0.1:1")

    answer = deployer("store", "realise", *caches, str(path))

    assert (answer.code, answer.out.endswith("-tree\n")) == (0, True)
    assert answer.err.count("warning: the binary cache http://127.0.0.1:1 can't be used") == 1


def test_copying_goes_one_way(deployer, shelf):
    path = str(shelf.put("one"))

    for options in ((), ("--to", "file:///a", "--from", "file:///b")):
        assert deployer("store", "copy", *options, path).code == 2


def test_what_others_have_is_identical_different_or_unknown(deployer, store, tmp_path):
    outputs = []
    for text in ("same", "other", "nowhere"):
        outputs.append(deployer("store", "realise", str(tree(store, text))).out.strip())
    cache = tmp_path / "cache"
    deployer("store", "copy", "--to", f"file://{cache}", *outputs[:2])
    there = {str(path): path for path in cache.glob("*.narinfo")}
    narinfo = next(path for path in there.values() if StorePath.parse(outputs[1]).hash_part in path.name)
    narinfo.write_text(re.sub("NarHash: .*", f"NarHash: sha256:{'0' * 52}", narinfo.read_text()))

    answer = deployer("store", "challenge", "--json", "--substituter", f"file://{cache}", *outputs)

    assert answer.code == 1
    found = {one["path"]: one["verdict"] for one in answer.document["paths"]}
    assert found == dict(zip(outputs, ("identical", "different", "unknown"), strict=True))


def test_a_second_build_is_compared(deployer, store):
    output = deployer("store", "realise", str(tree(store, "same"))).out.strip()

    text = str(store.add_text("text", b"x"))

    answer = deployer("store", "challenge", "--rebuild", output, text)

    assert answer.code == 0
    assert answer.out == f"{output} identical: a second build\n{text} identical: its content makes its name\n"


def test_somebody_must_be_asked(deployer, shelf):
    answer = deployer("store", "challenge", str(shelf.put("one")))

    assert (answer.code, "nobody to compare with" in answer.err) == (2, True)
