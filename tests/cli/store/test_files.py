"""Files into the store and out of it, compared with Nix."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from deployer.formats.hashes import SIZES
from tests.cli.store.conftest import PROGRAM, give

pytestmark = pytest.mark.nix


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source-1.0"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(b"\0content\xff" * 999)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("../elsewhere")
    return source


def test_what_is_added_has_the_path_that_nix_gives_it(deployer, nix, source):
    files = [source, source / "run", source / "link"]

    planned = deployer("store", "add", "--dry-run", *map(str, files)).out
    assert "there is no store" in deployer("store", "query", "--hash", *planned.split()).err
    assert planned == deployer("store", "add", *map(str, files)).out == nix.text("nix-store", "--add", *map(str, files))
    for algorithm in SIZES:
        for options in (("--recursive",), ()):
            chosen = [str(file) for file in (files[:2] if options else files[1:2])]
            theirs = nix.text("nix-store", "--add-fixed", *options, algorithm, *chosen)
            assert deployer("store", "add-fixed", "--dry-run", *options, algorithm, *chosen).out == theirs
            assert deployer("store", "add-fixed", *options, algorithm, *chosen).out == theirs
            hashes = deployer("store", "query", "--hash", *theirs.split()).out
            assert hashes == nix.text("nix-store", "--query", "--hash", *theirs.split())


def test_hashes_are_those_of_nix(deployer, nix, source):
    for algorithm in SIZES:
        for spelling in ("sri", "base16", "base32", "base64"):
            options = ("--type", algorithm, f"--{spelling}")
            assert deployer("store", "hash", *options, str(source)).out == nix.text("nix", "hash", "path", *options, str(source))
            flat = deployer("store", "hash", *options, "--flat", str(source / "run")).out
            assert flat == nix.text("nix", "hash", "file", *options, str(source / "run"))


def test_a_dump_is_that_of_nix_and_is_restored_as_nix_does(pipe, nix, source, tmp_path):
    archive = pipe("dump", str(source))
    assert archive == nix.run("nix-store", "--dump", str(source))

    pipe("restore", str(tmp_path / "ours"), stdin=archive)
    nix.run("nix-store", "--restore", str(tmp_path / "theirs"), stdin=archive)

    listed = [
        [(path.relative_to(root), path.lstat().st_mode) for path in sorted(root.rglob("*"))]
        for root in (tmp_path / "ours", tmp_path / "theirs")
    ]
    assert listed[0] == listed[1]
    assert pipe("dump", str(tmp_path / "ours")) == archive


def test_exported_paths_go_to_nix_and_come_back(deployer, nix, shelf, pipe, monkeypatch, tmp_path):
    paths = shelf.tangle(4, 12)
    asked = [str(path) for path in paths[-3:]]
    closure = deployer("store", "query", "--requisites", *asked).out

    stream = pipe("export", "--requisites", *asked)

    assert nix.run("nix-store", "--import", stdin=stream).decode() == closure
    back = nix.run("nix-store", "--export", *closure.split())
    assert back == stream
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(back)))
    assert deployer("store", "--store-root", str(tmp_path / "third"), "import").out == closure
    for path in closure.split():
        there = deployer("store", "--store-root", str(tmp_path / "third"), "query", "--references", path).out
        assert there == deployer("store", "query", "--references", path).out


@pytest.mark.parametrize("cut", [1, 8, 100, 500, -9])
def test_a_cut_stream_leaves_nothing(pipe, shelf, tmp_path, cut):
    low = shelf.put("low")
    stream = pipe("export", "-R", str(shelf.put("high", low)))

    pipe("--store-root", str(tmp_path / "third"), "import", stdin=stream[:cut], code=1)

    assert os.listdir(tmp_path / "third/nix/store") in ([".links", ".making"], [".making", ".links"])
    assert os.listdir(tmp_path / "third/nix/store/.making") == []


def test_what_reads_only_the_beginning_is_served_in_silence(shelf, pipe, store):
    paths = " ".join(str(path) for path in shelf.tangle(5, 30))
    environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(store.root), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = " ".join(PROGRAM)

    for command in (f"{program} query -R {paths} {paths}", f"{program} export {paths}"):
        done = subprocess.run(["sh", "-c", f"{command} | head -c 1"], capture_output=True, env=environment, check=True)
        assert (len(done.stdout), done.stderr) == (1, b"")


def test_derivations_are_shown_as_nix_shows_them(deployer, nix, store, tmp_path):
    expression = tmp_path / "graph.nix"
    expression.write_text("""
      let make = name: more: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // more);
        source = builtins.toFile "text" "a \\"quoted\\" text\\n";
        file = make "file" { outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "recursive"; };
        low = make "low-1" { outputs = [ "out" "dev" ]; args = [ "-c" "é \\t \\n" ]; inherit source; };
      in make "top" { a = low.dev; b = low; c = file; }
    """)
    derivation = nix.text("nix-instantiate", str(expression)).strip()
    closure = nix.text("nix-store", "--query", "--requisites", derivation).split()
    from deployer.store.exporting import import_paths

    import_paths(store, io.BytesIO(nix.run("nix-store", "--export", *closure)).read)

    for options in ((), ("--recursive",)):
        theirs = nix.text("nix", "show-derivation", *options, derivation)
        assert deployer("derivation", "show", *options, derivation).out == theirs
    for query in ("--outputs", "--requisites", "--tree", "--graph"):
        theirs = nix.text("nix-store", "--query", query, derivation)
        assert deployer("store", "query", query, derivation).out == theirs


def test_a_key_of_ours_signs_for_nix(deployer, nix, shelf, tmp_path):
    path = shelf.put("signed", shelf.put("low"))
    give(shelf.store, nix, [path])

    assert deployer("key", "generate", "me-1", str(tmp_path / "secret"), str(tmp_path / "public")).code == 0

    nix.run("nix", "store", "sign", "-k", str(tmp_path / "secret"), str(path))
    nix.run("nix", "store", "verify", "--trusted-public-keys", (tmp_path / "public").read_text(), str(path))
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    again = deployer("key", "generate", "me-1", str(tmp_path / "secret"), str(tmp_path / "other"))
    assert (again.code, "File exists" in again.err) == (1, True)
