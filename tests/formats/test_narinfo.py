"""narinfo: read and written as Nix does, and refused where Nix refuses."""

from __future__ import annotations

import json

import pytest

from deployer.formats import Hash
from deployer.formats.narinfo import NarInfo, NarInfoRefused

PART = "0" * 32
EMPTY = Hash.of("sha256", b"")
FIELDS = {
    "StorePath": f"/nix/store/{PART}-a",
    "URL": "nar/a.nar",
    "Compression": "none",
    "FileHash": EMPTY.base32,
    "FileSize": "120",
    "NarHash": EMPTY.base32,
    "NarSize": "120",
    "References": f"{PART}-a {'1' * 32}-b",
    "Deriver": f"{'2' * 32}-a.drv",
    "Sig": "key:c2ln",
}


def text(**changed):
    """The file with some values changed, or (None) without them."""
    return "".join(f"{key}: {value}\n" for key, value in {**FIELDS, **changed}.items() if value is not None)


TAKEN = {
    "all fields": text(),
    "no compression": text(Compression=None),
    "no references": text(References=""),
    "a reference twice": text(References=f"{PART}-a {PART}-a"),
    "no deriver that is known": text(Deriver="unknown-deriver"),
    "hashes in other digits": text(NarHash=EMPTY.sri, FileHash=f"sha256:{EMPTY.hexadecimal}"),
    "a content address": text(CA=f"fixed:r:{EMPTY.base32}"),
    "an unknown field": text(Later="x: y"),
    "the fields in another order": "".join(reversed(text().splitlines(keepends=True))),
}
"""Taken by Nix, and by us, with the same meaning."""

REFUSED = {
    "nothing": "",
    "no path": text(StorePath=None),
    "no url": text(URL=None),
    "no hash": text(NarHash=None),
    "no size": text(NarSize=None),
    "a size of nothing": text(NarSize="0"),
    "a size that is no number": text(NarSize="1x"),
    "a negative size": text(NarSize="-1"),
    "a size beyond 64 bits": text(NarSize="99999999999999999999"),
    "a path elsewhere": text(StorePath="/etc/passwd"),
    "a hash without its algorithm": text(NarHash=EMPTY.nix32),
    "a hash with a wrong digit": text(NarHash=EMPTY.base32[:-1] + "e"),
    "a reference that is a whole path": text(References=FIELDS["StorePath"]),
    "references twice": text() + f"References: {PART}-a\n",
    "a deriver that is no path": text(Deriver="a.drv"),
    "a content address that is none": text(CA="fixed:md5:0"),
    "a last line without an end": text()[:-1],
    "a line without a colon": text() + "Later\n",
}
"""Refused by Nix, and by us."""

STRICTER = {
    "a path twice": text() + f"StorePath: {FIELDS['StorePath']}\n",
    "a control character": text(Sig="key:\x1b[2Jx"),
    "a hash of another algorithm": text(NarHash=Hash.of("sha1", b"").base32),
}
"""Taken by Nix 2.8, which writes none of them."""


@pytest.mark.nix
@pytest.mark.parametrize("name", [*TAKEN, *REFUSED, *STRICTER])
def test_a_description_is_taken_or_refused_as_by_nix(nix, tmp_path, name):
    content = {**TAKEN, **REFUSED, **STRICTER}[name]
    nix.environment["NIX_STORE_DIR"] = "/nix/store"
    (tmp_path / "nix-cache-info").write_text("StoreDir: /nix/store\n")
    (tmp_path / f"{PART}.narinfo").write_text(content)
    ask = ("nix", "path-info", "--json", "--store", f"file://{tmp_path}", FIELDS["StorePath"])
    done = nix.run(*ask, check=False)

    if name not in TAKEN:
        with pytest.raises(NarInfoRefused):
            NarInfo.parse(content, "a")
        assert name in STRICTER or done.returncode != 0
        return
    (record,) = json.loads(done.stdout)
    info = NarInfo.parse(content, "a")
    assert (info.url, info.nar_hash.sri, info.nar_size) == (record["url"], record["narHash"], record["narSize"])
    assert sorted(map(str, info.references)) == record["references"]
    assert [*info.signatures] == record["signatures"]
    assert (info.ca, f"/nix/store/{info.deriver}") == (record.get("ca", ""), record.get("deriver", "/nix/store/"))
    assert NarInfo.parse(info.serialize(), "a") == info
