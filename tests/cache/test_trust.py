"""Whom to believe: several keys together, and content that makes its own name."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from deployer.cache import CacheCorrupt, PathNotTrusted, SecretKey, push
from deployer.cache.contents import ContentCheck, MaskedDigest, content_makes_name
from deployer.cache.describing import describe
from deployer.cache.trust import Trust
from deployer.formats import StorePath
from deployer.formats.hashes import Hash
from deployer.formats.narinfo import NarInfo
from deployer.formats.storepath import make_source_path
from deployer.store import Store, trees
from tests.cache.world import BIG, KEY, built, described, reader, redescribe

KEYS = [SecretKey.generate(f"key-{number}") for number in range(3)]


@pytest.mark.parametrize(
    ("signers", "trusted", "threshold", "accepted"),
    [
        ([0], [0, 1, 2], 1, True),
        ([0], [0, 1, 2], 2, False),
        ([0, 1], [0, 1, 2], 2, True),
        ([0, 0], [0, 1, 2], 2, False),
        ([0, 1], [0, 2], 2, False),
        ([0, 1, 2], [0, 1, 2], 3, True),
        ([], [], 1, False),
    ],
)
def test_so_many_different_trusted_keys_must_have_signed(store, top, signers, trusted, threshold, accepted):
    info = describe(store.query(top), top, "x", "none")
    info = dataclasses.replace(info, signatures=tuple(KEYS[at].sign(info) for at in signers))

    assert Trust.of([KEYS[at].public for at in trusted], threshold).accepts(info) == accepted


def test_a_key_under_two_names_counts_once(store, top):
    twin = SecretKey("twin", KEYS[0].data)
    info = describe(store.query(top), top, "x", "none")
    info = dataclasses.replace(info, signatures=(KEYS[0].sign(info), twin.sign(info)))

    assert Trust.of([KEYS[0].public, twin.public], 1).accepts(info)
    assert not Trust.of([KEYS[0].public, twin.public], 2).accepts(info)


async def test_too_few_signatures_are_told(store, top, url, tmp_path):
    push(store, [top], url, key=KEY)

    with pytest.raises(PathNotTrusted, match="2 trusted keys must"):
        await reader(url, threshold=2).substitute(Store(tmp_path / "other"), top)


def flat(store, source, algorithm):
    return store.add_fixed("file", source, algorithm)


def recursive(store, source, algorithm):
    return store.add_fixed("file", source, algorithm, recursive=True)


def text(store, source, algorithm):
    return store.add_text("file", source.read_bytes(), [store.add_text("other", algorithm.encode())])


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("make", [flat, recursive, text])
async def test_what_its_content_names_needs_no_signature_and_must_have_that_content(store, url, tmp_path, make, algorithm):
    (tmp_path / "file").write_bytes(BIG)
    path = make(store, tmp_path / "file", algorithm)
    push(store, [path], url)
    other = Store(tmp_path / "other")

    await reader(url, trusted_keys=()).substitute(other, path)

    assert other.query(path).ca == store.query(path).ca != ""


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
@pytest.mark.parametrize("make", [flat, recursive, text])
async def test_other_content_under_such_a_name_is_refused(store, url, tmp_path, make, algorithm):
    (tmp_path / "file").write_bytes(BIG)
    path, evil = make(store, tmp_path / "file", algorithm), built(store, "evil", BIG + b"!")
    push(store, [path, evil], url)
    other = Store(tmp_path / "other")

    theirs = NarInfo.parse(described(tmp_path, evil).read_text(), "test")
    redescribe(tmp_path, path, url=theirs.url, nar_hash=theirs.nar_hash, nar_size=theirs.nar_size, file_hash="", file_size=0)

    with pytest.raises(CacheCorrupt):
        await reader(url, trusted_keys=()).substitute(other, path)

    assert not other.is_valid(path)


@pytest.mark.parametrize("ca", ["", "text:sha256:x", "fixed:md5", "fixed:r:sha256:" + "0" * 52, "odd:sha256:" + "0" * 52])
def test_a_claim_that_does_not_give_the_name_is_worth_nothing(store, top, ca):
    info = dataclasses.replace(describe(store.query(top), top, "x", "none"), ca=ca)

    assert not content_makes_name(info)


def masked(data: bytes, part: bytes) -> bytes:
    """As Nix defines it, on the whole at once."""
    places = []
    at = -1
    while (at := data.find(part, at + 1)) >= 0:
        places.append(at)
        data = data[:at] + bytes(32) + data[at + 32 :]
    return data + b"".join(b"|%d" % place for place in places)


@given(some.lists(some.sampled_from([b"0" * 32, b"1" * 32, b"0", b"x", b"0" * 31]), max_size=12), some.integers(1, 70))
def test_a_masked_hash_does_not_depend_on_the_pieces(parts, size):
    data, part = b"".join(parts), b"0" * 32
    digest = MaskedDigest(hashlib.sha256(), part.decode())

    for at in range(0, len(data), size):
        digest.update(data[at : at + size])

    assert digest.digest() == hashlib.sha256(masked(data, part)).digest()


def test_a_source_that_refers_to_itself_is_checked_without_its_own_name(store, tmp_path):
    """Made as Nix makes content-addressed outputs: the hash is of the NAR with the own hash part masked."""
    (tmp_path / "file").write_bytes(b"I am %s." % (b"0" * 32))
    nar: list[bytes] = []
    trees.write_nar(str(tmp_path / "file"), nar.append)
    digest = hashlib.sha256(masked(b"".join(nar), b"0" * 32)).digest()
    path = make_source_path("self", digest, (), refers_to_itself=True)
    ca = f"fixed:r:{Hash('sha256', digest).base32}"
    whole = b"".join(nar).replace(b"0" * 32, path.hash_part.encode())
    info = NarInfo(path, "x", Hash.of("sha256", whole), len(whole), (path,), "none", ca=ca)

    check = ContentCheck(info)
    check.feed(whole)
    other = ContentCheck(info)
    other.feed(whole.replace(b"I am", b"I'm "))

    assert (content_makes_name(info), check.holds(), other.holds()) == (True, True, False)


@pytest.mark.nix
async def test_what_nix_makes_content_addressed_needs_no_signature(nix, store, low, url, tmp_path):
    push(store, [low], url, key=KEY)
    nix("nix", "copy", "--from", url, str(low))
    features = ["--extra-experimental-features", "nix-command ca-derivations"]
    made = json.loads(nix("nix", "store", "make-content-addressed", "--json", str(low), *features))
    path = StorePath.parse(made["rewrites"][str(low)])
    nix("nix", "copy", "--to", url, str(path))
    other = Store(tmp_path / "other")

    await reader(url, trusted_keys=()).substitute(other, path)

    assert nix("nix-store", "-q", "--hash", str(path)) == other.query(path).nar_hash
