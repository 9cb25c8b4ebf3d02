"""Hashes read and written as Nix does, and refused where Nix refuses."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.hashes import ENCODINGS, SIZES, Hash, HashRefused

ABC = hashlib.sha256(b"abc").digest()
SHA256 = Hash("sha256", ABC)
UNPADDED = SHA256.base64.rstrip("=")

HASHES = st.sampled_from(sorted(SIZES)).flatmap(
    lambda name: st.binary(min_size=SIZES[name], max_size=SIZES[name]).map(lambda digest: Hash(name, digest))
)


@given(HASHES)
def test_every_spelling_of_a_hash_reads_as_that_hash(digest):
    typed = [digest.base32, digest.sri, *(f"{digest.algorithm}:{digest.to(encoding)}" for encoding in ENCODINGS[:3])]

    assert {Hash.parse(text) for text in typed} == {digest}
    assert {Hash.parse(text, digest.algorithm) for text in [*typed, *map(digest.to, ENCODINGS)]} == {digest}


@pytest.mark.nix
@pytest.mark.parametrize("algorithm", sorted(SIZES))
def test_every_encoding_is_that_of_nix(nix, algorithm):
    digest = Hash.of(algorithm, b"content")

    assert digest.to("base32") == nix.text("nix-hash", "--type", algorithm, "--to-base32", digest.hexadecimal)
    assert digest.to("base16") == nix.text("nix-hash", "--type", algorithm, "--to-base16", digest.nix32)
    for encoding in ENCODINGS:
        assert digest.to(encoding) == nix.text("nix", "hash", f"to-{encoding}", "--type", algorithm, digest.hexadecimal)


SPELLINGS = {
    "typed": (f"sha256:{ABC.hex()}", ""),
    "capital digits": (f"sha256:{ABC.hex().upper()}", ""),
    "digits of a given algorithm": (SHA256.nix32, "sha256"),
    "named and given": (SHA256.sri, "sha256"),
    "SRI without padding": (f"sha256-{UNPADDED}", ""),
    "base 64 without padding": (f"sha256:{UNPADDED}", ""),
    "digits of no algorithm": (ABC.hex(), ""),
    "named otherwise than given": (SHA256.sri, "sha1"),
    "of another algorithm": (ABC.hex(), "sha1"),
    "SRI with hexadecimal digits": (f"sha256-{ABC.hex()}", ""),
    "a typed SRI": (f"sha256:{SHA256.sri}", ""),
    "an unknown algorithm": (f"sha3:{ABC.hex()}", ""),
    "a capital algorithm": (f"SHA256:{ABC.hex()}", ""),
    "white space among the digits": (f"sha256:{ABC.hex()[:-3]} a ", ""),
    "a letter that base 32 lacks": (f"sha256:{SHA256.nix32[:-1]}e", ""),
    "too high a first digit": (f"sha256:2{SHA256.nix32[1:]}", ""),
    "base 64 of other bytes": ("sha256-" + Hash.of("sha1", b"").base64, ""),
    "a letter of another script": ("sha256:" + "١" * 64, ""),
    "nothing after the algorithm": ("sha256:", ""),
    "a url's base 64": ("sha256-" + SHA256.base64.replace("+", "-").replace("/", "_")[:-2] + "-=", ""),
}


@pytest.mark.nix
@pytest.mark.parametrize(("text", "algorithm"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_spelling_is_taken_or_refused_as_by_nix(nix, text, algorithm):
    type_ = ("--type", algorithm) if algorithm else ()
    verdict = nix.run("nix", "hash", "to-base16", *type_, text, check=False)

    try:
        taken = Hash.parse(text, algorithm).hexadecimal
    except HashRefused:
        taken = ""

    assert taken == verdict.stdout.decode().strip()
