"""Paths that are named by what they hold: by every method, with every hash, as Nix names them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats import Derivation, Hash, HashRefused, Output, StorePath, StorePathRefused
from deployer.formats.contentaddress import FLAT, RECURSIVE, TEXT, ContentAddress
from deployer.formats.derivation import with_output_paths
from deployer.formats.hashes import SIZES
from deployer.formats.rewriting import ModuloHasher, Rewriter
from tests.formats.random_trees import dumped

EMPTY = Hash.of("sha256", b"")
PART = "0123456789abcdfghijklmnpqrsvwxyz"


def record_of(nix, *command):
    """What Nix says of the path that a command prints."""
    path = nix.text(*command).splitlines()[-1]
    (record,) = json.loads(nix.text("nix", "path-info", "--json", path))
    return record


def agrees(nix, record, digest, method):
    address = ContentAddress.parse(record["ca"])
    path = StorePath.parse(record["path"], nix.store_dir)
    references = [StorePath.parse(one, nix.store_dir) for one in record["references"]]
    assert address == ContentAddress(method, digest)
    assert address.names(path, references)
    assert not ContentAddress(method, Hash.of(digest.algorithm, b"other")).names(path, references)
    assert not address.names(path, [*references, StorePath("0" * 32, "other", nix.store_dir)])
    return True


@pytest.mark.nix
@pytest.mark.parametrize("algorithm", sorted(SIZES))
def test_fixed_paths_are_those_of_nix(nix, tmp_path, algorithm):
    (file := tmp_path / "file").write_bytes(b"content")
    (tree := tmp_path / "tree").mkdir()
    (tree / "link").symlink_to("nowhere")

    flat = record_of(nix, "nix-store", "--add-fixed", algorithm, str(file))
    recursive = record_of(nix, "nix-store", "--add-fixed", "--recursive", algorithm, str(tree))

    assert agrees(nix, flat, Hash.of(algorithm, b"content"), FLAT)
    assert agrees(nix, recursive, Hash.of(algorithm, dumped(tree)), RECURSIVE)


@pytest.mark.nix
def test_texts_with_references_are_those_of_nix(nix):
    expression = 'builtins.toFile "other" "see ${builtins.toFile "note" "text"}"'
    path = nix.text("nix-instantiate", "--eval", "--read-write-mode", "--expr", expression).strip('"')
    record = record_of(nix, "echo", path)

    assert len(record["references"]) == 1
    assert agrees(nix, record, Hash.of("sha256", f"see {record['references'][0]}".encode()), TEXT)


@pytest.mark.nix
@pytest.mark.parametrize("mentions", ["$out", "$out $out/bin x$out", "${note}", "${note} $out", "nothing", "${zeros}$out"])
def test_trees_that_mention_themselves_and_others_are_those_of_nix(nix, mentions):
    script = f"echo {mentions} > $out".replace("${zeros}", "$(head -c 32 /dev/zero)")
    expression = f"""let note = builtins.toFile "note" "text"; in derivation {{ name = "a"; system = builtins.currentSystem;
      PATH = "/usr/bin:/bin"; builder = "/bin/sh"; args = [ "-c" ''{script}'' ]; }}"""
    built = nix.text("nix-store", "-r", nix.text("nix-instantiate", "--expr", expression))
    rewritten = json.loads(nix.text("nix", "store", "make-content-addressed", "--json", built))["rewrites"][built]

    record = record_of(nix, "echo", rewritten)

    hasher = ModuloHasher("sha256", StorePath.parse(rewritten, nix.store_dir).hash_part)
    hasher.feed(archive := dumped(rewritten))
    assert agrees(nix, record, hasher.finish(), RECURSIVE)
    assert hasher.refers_to_itself == (rewritten in record["references"]) == ("$out" in mentions)
    assert hasher.size == len(archive) == record["narSize"]


@given(st.lists(st.sampled_from([PART.encode(), PART[:31].encode(), b"0", bytes(32), b"other"]), max_size=8), st.data())
def test_a_text_is_replaced_wherever_the_stream_is_cut(pieces, data):
    stream = b"".join(pieces)
    pieces_out: list[bytes] = []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    rewriter = Rewriter(PART.encode(), b"x" * 32, pieces_out.append)

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rewriter.feed(stream[start:end])
    rewriter.finish()

    assert b"".join(pieces_out) == stream.replace(PART.encode(), b"x" * 32)
    assert rewriter.found == [at for at in range(len(stream)) if stream.startswith(PART.encode(), at)]
    assert rewriter.size == len(stream)


def test_zeros_are_another_tree_than_a_mention():
    hashes = set()
    for data in (PART.encode(), bytes(32)):
        hasher = ModuloHasher("sha256", PART)
        hasher.feed(data)
        hashes.add(hasher.finish())

    assert len(hashes) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        f"text:{EMPTY.sri}",
        f"text:sha256:{EMPTY.hexadecimal}",
        f"text:{Hash.of('sha1', b'').base32}",
        f"text:r:{EMPTY.base32}",
        f"fixed:r:r:{EMPTY.base32}",
        f"fixed:{EMPTY.nix32}",
        f"git:{EMPTY.base32}",
        f"fixed:{EMPTY.base32} ",
    ],
)
def test_what_is_no_content_address_is_refused(text):
    with pytest.raises(HashRefused):
        ContentAddress.parse(text)


@pytest.mark.parametrize("method", [TEXT, FLAT, RECURSIVE])
def test_an_address_is_read_as_it_was_written(method):
    address = ContentAddress(method, EMPTY)
    assert ContentAddress.parse(str(address)) == address


def test_only_a_tree_by_its_sha256_may_refer_to_anything():
    reference = StorePath(PART, "a")
    for address in (ContentAddress(FLAT, EMPTY), ContentAddress(RECURSIVE, Hash.of("sha1", b""))):
        with pytest.raises(StorePathRefused):
            address.path("a", [reference])
        with pytest.raises(StorePathRefused):
            address.path("a", itself=True)
    with pytest.raises(StorePathRefused):
        ContentAddress(TEXT, EMPTY).path("a", itself=True)


@pytest.mark.nix
def test_paths_of_another_store_directory_are_those_of_nix(nix):
    nix.environment["NIX_STORE_DIR"] = "/gnu/store"
    expression = 'with builtins; [ (toFile "note" "text") (derivation { name = "a"; system = "s"; builder = "b"; }).outPath ]'
    told = json.loads(nix.text("nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", "--expr", expression))

    draft = Derivation("a", {"out": Output()}, system="s", builder="b", environment={"name": "a", "system": "s", "builder": "b"})
    note = ContentAddress(TEXT, Hash.of("sha256", b"text")).path("note", (), "/gnu/store")

    assert told == [str(note), with_output_paths(draft, str, "/gnu/store").outputs["out"].path]
