"""Archives of random trees, equal to those of real Nix in both directions."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from deployer.formats.nar import read_whole
from deployer.store import trees
from tests.formats.random_trees import TREES, dumped, make

pytestmark = pytest.mark.nix


def unpack(archive, destination):
    sink = trees.Unpacker(str(destination), lambda name: name)
    read_whole(io.BytesIO(archive).read, sink, lambda data: None)
    sink.finish()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_a_tree_has_one_archive_which_both_write_and_restore(nix, tree):
    with tempfile.TemporaryDirectory(dir=nix.directory) as directory:
        place = Path(directory)
        make(tree, place / "tree")

        archive = dumped(place / "tree")
        nix.run("nix-store", "--restore", str(place / "theirs"), stdin=archive)
        unpack(archive, place / "ours")

        assert archive == nix.run("nix-store", "--dump", str(place / "tree")).stdout
        assert archive == dumped(place / "theirs") == nix.run("nix-store", "--dump", str(place / "ours")).stdout
        trees.make_writable(str(place / "ours"))


def test_files_of_every_size_around_the_padding_and_the_pieces_are_archived_alike(nix, tmp_path):
    (tree := tmp_path / "tree").mkdir()
    for size in (*range(18), 4095, 4096, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, (1 << 20) + 3):
        (tree / str(size)).write_bytes(bytes(at % 251 for at in range(size)))

    archive = dumped(tree)
    unpack(archive, tmp_path / "ours")

    assert archive == nix.run("nix-store", "--dump", str(tree)).stdout == dumped(tmp_path / "ours")
