"""Listings and records of paths, equal to those of Nix."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from deployer.formats.listing import Lister, list_nar
from deployer.formats.nar import NarReader
from deployer.formats.narinfo import NarInfo
from deployer.formats.pathrecord import download_record, invalid_record, path_record
from deployer.formats.pathstream import PathHeader
from tests.formats.random_trees import TREES, dumped, make


@pytest.mark.nix
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_a_listing_is_that_of_nix_and_counts_every_byte(nix, tree):
    with tempfile.TemporaryDirectory(dir=nix.directory) as directory:
        make(tree, place := Path(directory) / "tree")
        archive = dumped(place)
        (file := Path(directory) / "nar").write_bytes(archive)
        theirs = nix.run("nix", "nar", "ls", "--json", "-R", str(file), "/").stdout
    lister = Lister()
    NarReader(io.BytesIO(archive).read, lister, lambda data: None).tree()

    assert lister.serialize() == b'{"version":1,"root":' + theirs + b"}"
    assert lister.size == len(archive)


def test_a_walk_over_a_tree_lists_what_its_archive_lists(tmp_path):
    make(
        {b"a": {b"b": {}, b"c": ("file", b"123456789", 0o755)}, b"d": ("link", b"a"), b"e": ("file", b"x", 0o644)}, tmp_path / "t"
    )
    lister = Lister()

    lister.directory(b"")
    lister.directory(b"a")
    lister.directory(b"a/b")
    lister.file(b"a/c", True, 9, iter(()))
    lister.symlink(b"d", b"a")
    lister.file(b"e", False, 1, iter(()))

    assert lister.serialize() == list_nar(io.BytesIO(dumped(tmp_path / "t")).read)
    assert list(lister.root()) == ["type", "entries"]


@pytest.mark.nix
def test_a_cache_of_nix_has_our_listing_beside_each_path(nix, tmp_path):
    make({b"bin": {b"run": ("file", b"#!", 0o755)}, b"\xc3\xa4\n": ("link", b"bin/run")}, tmp_path / "tree")
    path = nix.text("nix-store", "--add", str(tmp_path / "tree"))

    nix.run("nix", "copy", "--to", f"file://{tmp_path}/cache?write-nar-listing=1", path)

    written = {file.stem: file.read_bytes() for file in (tmp_path / "cache").glob("*.ls")}
    assert written == {Path(path).name[:32]: list_nar(io.BytesIO(dumped(path)).read)}


@pytest.mark.nix
def test_records_of_paths_are_those_of_nix(nix, tmp_path):
    expression = """derivation { name = "c"; system = "x86_64-linux"; builder = "/bin/sh";
      args = [ "-c" "echo $out ${builtins.toFile "a" "text"} > $out" ]; }"""
    derivation = nix.text("nix-instantiate", "--expr", expression)
    output = nix.text("nix-store", "-r", derivation)
    nix.run("nix-store", "--generate-binary-cache-key", "key", *(str(tmp_path / name) for name in ("secret", "public")))
    nix.run("nix", "store", "sign", "-k", str(tmp_path / "secret"), output)
    cache = f"file://{tmp_path}/cache?compression=none"
    nix.run("nix", "copy", "--to", cache, output)
    absent = f"{nix.store_dir}/{'0' * 32}-absent"
    local = json.loads(nix.text("nix", "path-info", "--json", "--closure-size", "-r", output))
    there = json.loads(nix.text("nix", "path-info", "--json", "--closure-size", "--store", cache, output, absent))
    info = NarInfo.parse((tmp_path / "cache" / f"{Path(output).name[:32]}.narinfo").read_text(), "c", nix.store_dir)

    note, built = sorted(local, key=lambda record: record["path"] == output)
    size = note["narSize"] + built["narSize"]
    plain = PathHeader(note["path"], note["narHash"], note["narSize"], (), "", note["ca"])
    references = tuple(str(reference) for reference in info.references)
    header = PathHeader(output, info.nar_hash.base32, info.nar_size, references, derivation, "", info.signatures)
    download = download_record(info.url, info.file_hash, info.file_size, closure_size=size)
    written = [
        path_record(plain, closure_size=note["narSize"], registration_time=note["registrationTime"]),
        path_record(header, closure_size=size, registration_time=built["registrationTime"], ultimate=True),
    ]

    assert sorted(map(json.dumps, written)) == sorted(map(json.dumps, local))
    of_cache = [invalid_record(absent), path_record(header, closure_size=size, download=download)]
    assert sorted(map(json.dumps, of_cache)) == sorted(map(json.dumps, there))
