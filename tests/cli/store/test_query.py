"""Questions about paths: ours and Nix's answers are the same bytes."""

from __future__ import annotations

import os
import re

import pytest

from deployer.cli.store.printing import Printer
from tests.cli.store.conftest import give

pytestmark = pytest.mark.nix

SEEDS = [1, 2, 3]
QUERIES = ["--references", "--referrers", "--requisites", "-R", "--referrers-closure", "--outputs", "--hash", "--size"]
QUERIES += ["--graph", "--tree", "--deriver", "--resolve"]


@pytest.mark.parametrize("seed", SEEDS)
def test_queries_print_what_nix_prints(deployer, nix, shelf, seed):
    paths = shelf.tangle(seed)
    give(shelf.store, nix, paths)
    asked = [str(path) for path in paths[-7:]]

    for query in QUERIES:
        assert deployer("store", "query", query, *asked).out == nix.text("nix-store", "--query", query, *asked), query


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("options", [(), ("--all",), ("--precise",), ("--all", "--precise")], ids=" ".join)
def test_chains_are_those_of_nix(deployer, nix, shelf, seed, options):
    paths = shelf.tangle(seed, 15)
    give(shelf.store, nix, paths)
    pairs = [(paths[-1], path) for path in paths[::3]] + [(paths[-2], paths[-2])]

    for pair in pairs:
        ours = deployer("store", "why-depends", *options, *map(str, pair))
        theirs = nix.text("nix", "why-depends", *options, *map(str, pair))
        assert (ours.code, ours.out) == (0, re.sub(r"\x1b\[[0-9;]*m", "", theirs))
        assert ("does not depend on" in ours.err) == (not theirs)


def test_differences_are_those_of_nix(deployer, nix, shelf):
    old = shelf.put("lib-1.0", content="x" * 20_000)
    before = shelf.put("top", old, shelf.put("gone-2"), shelf.put("same-1-dev"), content="a")
    new = [shelf.put("lib-1.1"), shelf.put("lib-2.0rc1-bin"), shelf.put("plain"), shelf.put("same-1-dev")]
    after = shelf.put("top", *new, shelf.put("big-7", content="y" * 90_000))
    give(shelf.store, nix, [before, after])

    for pair in [(before, after), (after, before), (old, old)]:
        theirs = nix.text("nix", "store", "diff-closures", *map(str, pair))
        assert deployer("store", "diff-closures", *map(str, pair)).out == re.sub(r"\x1b\[[0-9;]*m", "", theirs)


def test_on_a_terminal_the_colours_are_those_of_nix(deployer, nix, shelf, monkeypatch):
    paths = shelf.tangle(2, 15)
    give(shelf.store, nix, paths)
    monkeypatch.setattr(Printer, "has_color", True)

    for options in ((), ("--all",), ("--precise",), ("--all", "--precise")):
        for path in paths[::4]:
            asked = (*options, str(paths[-1]), str(path))
            assert deployer("store", "why-depends", *asked).out == nix.text("nix", "why-depends", *asked)
    asked = (str(paths[-1]), str(paths[-5]))
    assert deployer("store", "diff-closures", *asked).out == nix.text("nix", "store", "diff-closures", *asked)


def test_roots_are_told_as_nix_tells_them(deployer, nix, shelf):
    low = shelf.put("low")
    high = shelf.put("high", low)
    other = shelf.put("other")
    give(shelf.store, nix, [high, other])
    for name, path in [("b", high), ("a", high), ("c", other)]:
        shelf.store.add_root(name, path)
        os.symlink(str(path), nix.root / "nix/var/nix/gcroots" / name)

    theirs = nix.text("nix-store", "--query", "--roots", str(low))

    ours = deployer("store", "query", "--roots", str(low)).out
    assert ours.replace("/nix/var/deployer/", "/nix/var/nix/").replace(str(shelf.store.root), str(nix.root)) == theirs


@pytest.mark.parametrize("kind", ["references", "tree", "roots", "deriver", "hash", "size"])
def test_answers_as_json(deployer, shelf, kind):
    low = shelf.put("low")
    high = shelf.put("high", low)
    shelf.store.add_root("keep", high)

    document = deployer("store", "query", f"--{kind}", "--json", str(high)).document

    info = shelf.store.query(high)
    expected = {
        "references": {"paths": [str(low)]},
        "tree": {"references": {str(high): [str(low)], str(low): []}},
        "roots": {"roots": [{"link": str(shelf.store.layout.roots / "keep"), "path": str(high)}]},
        "deriver": {"derivers": {str(high): None}},
        "hash": {"hashes": {str(high): info.nar_hash}},
        "size": {"sizes": {str(high): info.nar_size}},
    }
    assert document == expected[kind]


def test_two_questions_at_once_are_refused(deployer, shelf):
    answer = deployer("store", "query", "--size", "--hash", str(shelf.put("one")))

    assert answer.code == 2
    assert "two questions" in answer.err


@pytest.mark.parametrize("options", [(), ("-r",), ("-s",), ("-S", "-r"), ("-rsSh",), ("-S", "--sigs")], ids=" ".join)
def test_what_is_registered_is_told_as_nix_does(deployer, nix, shelf, tmp_path, options):
    paths = shelf.tangle(6, 12)
    give(shelf.store, nix, paths)
    asked = [str(path) for path in reversed(paths[-4:])]
    (tmp_path / "key").write_bytes(nix.run("nix", "key", "generate-secret", "--key-name", "them-1"))
    assert deployer("store", "sign", "--key-file", str(tmp_path / "key"), *asked).err == "added 4 signatures\n"
    nix.run("nix", "store", "sign", "--key-file", str(tmp_path / "key"), *asked)

    ours = deployer("store", "path-info", *options, *asked).out
    assert ours.replace("ultimate ", "") == nix.text("nix", "path-info", *options, *asked)
    ours, theirs = (
        deployer("store", "path-info", "--json", *options, *asked).out,
        nix.text("nix", "path-info", "--json", *options, *asked),
    )
    assert _timeless(ours) == _timeless(theirs)


def _timeless(text: str) -> str:
    """Without what differs by when and where a path was made: both are told in the same order."""
    return re.sub(r'"registrationTime":\d+,?|"ultimate":true,?', "", text).strip().replace(",}", "}")
