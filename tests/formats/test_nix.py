"""Byte equality with real Nix, both directions."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from deployer.formats import Derivation, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.formats.hashes import Hash
from deployer.formats.nar import NarReader
from deployer.formats.storepath import make_fixed_output_path, make_source_path, make_text_path
from deployer.store import trees

pytestmark = pytest.mark.nix


@pytest.fixture
def tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "run").write_bytes(b"#!/bin/sh\n")
    (tree / "bin" / "run").chmod(0o755)
    (tree / "a.b").write_bytes(bytes(range(256)) * 5000)
    (tree / "a").mkdir()
    (tree / "a-b").write_bytes(b"")
    (tree / "ä").symlink_to("bin/run")
    (tree / "dangling").symlink_to("/nowhere")
    return tree


def written(path):
    pieces: list[bytes] = []
    trees.write_nar(str(path), pieces.append)
    return b"".join(pieces)


def unpacked(archive, destination):
    stream = io.BytesIO(archive)
    sink = trees.Unpacker(str(destination), lambda name: name)
    NarReader(stream.read, sink, lambda data: None).tree()
    sink.finish()


def test_our_archive_of_a_tree_is_that_of_nix(nix, tree):
    expected = nix.run("nix-store", "--dump", str(tree)).stdout

    actual = written(tree)

    assert actual == expected


def test_nix_restores_our_archive_and_we_restore_that_of_nix(nix, tree, tmp_path):
    archive = written(tree)

    nix.run("nix-store", "--restore", str(tmp_path / "theirs"), stdin=archive)
    unpacked(nix.run("nix-store", "--dump", str(tmp_path / "theirs")).stdout, tmp_path / "ours")

    assert written(tmp_path / "ours") == archive


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_every_form_of_a_hash_reads_as_nix_writes_it(nix, tmp_path, algorithm):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    digest = Hash(algorithm, hashlib.new(algorithm, b"content").digest())

    base32 = nix.text("nix", "hash", "file", "--type", algorithm, "--base32", str(file))
    sri = nix.text("nix", "hash", "file", "--type", algorithm, "--sri", str(file))
    base64 = nix.text("nix", "hash", "file", "--type", algorithm, "--base64", str(file))

    assert digest.base32 == f"{algorithm}:{base32}"
    assert digest.sri == sri
    for text in (f"{algorithm}:{base32}", sri, f"{algorithm}:{digest.hexadecimal}", f"{algorithm}:{base64}"):
        assert Hash.parse(text) == digest


def test_added_paths_have_the_names_that_nix_gives(nix, tree):
    source = nix.text("nix-store", "--add", str(tree))
    flat = nix.text("nix-store", "--add-fixed", "sha1", str(tree / "a.b"))
    recursive = nix.text("nix-store", "--add-fixed", "--recursive", "sha512", str(tree))
    archive, content = written(tree), (tree / "a.b").read_bytes()

    assert str(make_source_path("tree", hashlib.sha256(archive).digest(), (), nix.store_dir)) == source
    assert str(make_fixed_output_path("a.b", "sha1", hashlib.sha1(content).digest(), nix.store_dir)) == flat
    digest = hashlib.sha512(archive).digest()
    assert str(make_fixed_output_path("tree", "sha512", digest, nix.store_dir, recursive=True)) == recursive


EXPRESSION = r"""
let
  mk = attrs: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  fetched = mk { name = "fetched"; outputHash = "@zeros@"; outputHashAlgo = "sha256"; outputHashMode = "flat"; url = "a"; };
  elsewhere = mk { name = "fetched"; outputHash = "@zeros@"; outputHashAlgo = "sha256"; outputHashMode = "flat"; url = "b"; };
  tree = mk { name = "tree"; outputHash = "@ones@"; outputHashAlgo = "sha1"; outputHashMode = "recursive"; };
  several = mk { name = "several"; outputs = [ "out" "dev" "man" ]; inherit fetched; };
  note = builtins.toFile "note" "quotes \" \\ \t tabs\nlines";
  middle = mk { name = "middle"; args = [ "-c" "echo \"$out\" \\ \n\r\t ä" ]; inherit tree note; dev = several.dev; };
in mk { name = "top"; inherit middle elsewhere; all = several.all; script = several.man + fetched; }
""".replace("@zeros@", "0" * 64).replace("@ones@", "1" * 40)


def test_derivations_of_nix_are_read_written_and_hashed_to_the_same_paths(nix):
    top = nix.text("nix-instantiate", "--expr", EXPRESSION)
    files = [path for path in nix.text("nix-store", "-qR", top).splitlines() if path.endswith(".drv")]
    derivations = {}
    for path in files:
        text = Path(path).read_text(encoding="utf-8")
        derivations[path] = Derivation.parse(text, StorePath.parse(path, nix.store_dir).name.removesuffix(".drv"))
        assert derivations[path].serialize() == text
        assert str(derivations[path].path(nix.store_dir)) == path

    hashes = {}

    def hash_of(path):
        if path not in hashes:
            hashes[path] = hash_modulo(derivations[path], hash_of)
        return hashes[path]

    assert len(files) == 6
    for derivation in derivations.values():
        assert with_output_paths(derivation, hash_of, nix.store_dir) == derivation


def test_text_paths_with_references_have_the_names_that_nix_gives(nix):
    note = nix.text("nix-instantiate", "--eval", "--expr", 'builtins.toFile "note" "text"').strip('"')
    command = ("nix-instantiate", "--eval", "--read-write-mode", "--expr")
    other = nix.text(*command, 'builtins.toFile "other" "see ${builtins.toFile "note" "text"}"').strip('"')

    assert str(make_text_path("note", b"text", (), nix.store_dir)) == note
    references = [StorePath.parse(note, nix.store_dir)]
    assert str(make_text_path("other", f"see {note}".encode(), references, nix.store_dir)) == other
