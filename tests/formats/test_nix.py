"""Byte equality with real Nix, both directions."""

from __future__ import annotations

import io

import pytest

from deployer.formats.nar import NarReader
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
