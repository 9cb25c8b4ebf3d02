"""The export stream: equal to that of Nix, taken by Nix, and refused where a byte is wrong."""

from __future__ import annotations

import functools
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats import NarRefused, StorePath, StorePathRefused
from deployer.formats.export import ExportWriter, export_order, read_export
from deployer.formats.nar import exactly, token
from deployer.formats.pathstream import PathHeader
from deployer.store import trees

A, B, C = (f"/nix/store/{letter * 32}-{letter}" for letter in "abc")
FILE = b"".join(map(token, (b"nix-archive-1", b"(", b"type", b"regular", b"contents", b"text", b")")))


class Ignored:
    """Takes a tree and keeps nothing."""

    def directory(self, path):
        pass

    def symlink(self, path, target):
        pass

    def file(self, path, executable, size, pieces):
        assert sum(map(len, pieces)) == size

    def held(self, path, executable, name):
        raise AssertionError("nothing is held")


def headers(data, store_dir="/nix/store"):
    return list(read_export(exactly(io.BytesIO(data).read), Ignored, store_dir))


def exported(*paths, end=True):
    pieces: list[bytes] = []
    writer = ExportWriter(pieces.append)
    for header in paths:
        writer.path(header, lambda write: write(FILE))
    if end:
        writer.end()
    return b"".join(pieces)


def number(value):
    return value.to_bytes(8, "little")


def trailer(path=A, references=(), deriver="", magic=0x4558494E, last=bytes(8), count=None):
    """One path and the end, each part as a case wants it."""
    listed = b"".join(token(one.encode()) for one in references)
    counted = number(len(references) if count is None else count)
    named = number(magic) + token(path.encode()) + counted + listed + token(deriver.encode())
    return number(1) + FILE + named + last + number(0)


@pytest.mark.nix
def test_what_nix_exports_we_read_and_write_to_the_same_bytes_and_nix_imports_it(nix, tmp_path):
    expression = """let t = builtins.toFile; a = t "a" "text"; b = t "b" "see ${a}";
      in derivation { name = "c"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo $out ${b} > $out" ]; }"""
    derivation = nix.text("nix-instantiate", "--expr", expression)
    output = nix.text("nix-store", "-r", derivation)
    paths = nix.text("nix-store", "-qR", output, derivation).splitlines()
    theirs = nix.run("nix-store", "--export", *reversed(paths)).stdout

    found = headers(theirs, nix.store_dir)
    pieces: list[bytes] = []
    writer = ExportWriter(pieces.append)
    for header in found:
        writer.path(header, functools.partial(trees.write_nar, header.path))
    writer.end()

    assert len(found) == 4
    assert [header.deriver for header in found if header.path == output] == [derivation]
    assert output in {header.path for header in found if header.path in header.references}
    assert [header.path for header in found] == export_order({header.path: header.references for header in found})
    assert b"".join(pieces) == theirs
    for header in found:
        told = nix.text("nix-store", "-q", "--hash", header.path), nix.text("nix-store", "-q", "--size", header.path)
        assert (header.nar_hash, str(header.nar_size)) == told
    nix.run("nix-store", "--delete", *paths)
    assert nix.run("nix-store", "--import", stdin=b"".join(pieces)).stdout.decode().split() == [one.path for one in found]
    nix.run("nix-store", "--verify", "--check-contents")
    assert nix.text("nix-store", "-q", "--deriver", output) == derivation


@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12)), max_size=9))
def test_references_come_first_and_each_path_once(graph):
    acyclic = {str(path): {str(one) for one in inner if one <= path} for path, inner in graph.items()}

    order = export_order(acyclic)

    assert sorted(order) == sorted(acyclic)
    for path, inner in acyclic.items():
        assert all(order.index(one) < order.index(path) for one in inner if one in acyclic and one != path)


def test_a_cycle_has_no_order():
    with pytest.raises(NarRefused, match="refers to what refers to it"):
        export_order({A: [B], B: [C], C: [A]})


def test_an_older_signature_is_passed_over():
    assert [header.path for header in headers(trailer(last=number(1) + token(b"signature")))] == [A]


def test_references_are_written_in_order_and_once():
    assert headers(exported(PathHeader(A, "", 0, (C, B, C))))[0].references == (B, C)


WRONG = {
    "an unknown beginning": number(2),
    "no name": trailer(magic=0x4558494F),
    "a path elsewhere": trailer(path="/etc/passwd"),
    "a path below a path": trailer(path=A + "/b"),
    "no path": trailer(path=""),
    "a reference elsewhere": trailer(references=["/nix/store/x"]),
    "references out of order": trailer(references=[C, B]),
    "a reference twice": trailer(references=[B, B]),
    "more references than come": trailer(references=[B], count=2),
    "references without end": trailer(count=1 << 63),
    "a deriver elsewhere": trailer(deriver="/a.drv"),
    "an unknown end": trailer(last=number(2)),
    "a path that is not text": trailer().replace(token(A.encode()), token(b"\xff" * 80)),
    "a path twice": exported(PathHeader(A, "", 0), PathHeader(A, "", 0)),
    "no archive": number(1) + number(1 << 40),
    "padding that is not zero": trailer().replace(b"aa-a\0", b"aa-a\1"),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_a_malformed_stream_is_refused(data):
    with pytest.raises((NarRefused, StorePathRefused)):
        headers(data)


@given(st.data())
def test_a_stream_that_is_cut_off_never_ends_well(data):
    whole = exported(PathHeader(A, "", 0, (B,), C))
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(NarRefused):
        headers(whole[:cut])


def test_nothing_after_the_end_is_read():
    read = exactly(io.BytesIO(exported() + b"more").read)

    assert list(read_export(read, Ignored)) == []
    assert read(4) == b"more"


def test_another_store_directory_is_read_only_as_itself():
    path = str(StorePath("a" * 32, "a", "/gnu/store"))

    assert headers(exported(PathHeader(path, "", 0)), "/gnu/store")[0].path == path
    with pytest.raises(StorePathRefused):
        headers(exported(PathHeader(path, "", 0)))
