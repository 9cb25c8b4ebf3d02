"""Suites that are read without apt: what is believed, and what is not."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil

import pytest

from deployer.packages.debian.signed_suite import read_suite
from deployer.packages.errors import IndexRefused
from deployer.packages.mirrors import Mirror
from tests.packages.repository import Repository, gpg

pytestmark = pytest.mark.skipif(not shutil.which("gpgv") or not shutil.which("gpg"), reason="GnuPG is not installed")
PACKAGES = b"Package: tool\nVersion: 1\n"
BOMB = gzip.compress(bytes(1 << 20), mtime=0)


class Suite(Repository):
    """One that is written file by file."""

    def write(self, files, *, fields=(), sums=None, **published):
        """Files below `main/binary-amd64` by name, all of them in the Release file; `sums` replaces that list."""
        directory = self.directory / "dists" / self.suite
        self.publish(signed=False)
        (directory / "main/binary-amd64/Packages").unlink()
        for name, data in files.items():
            place = directory / "main/binary-amd64" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        text = (directory / "Release").read_text().partition("SHA256:")[0]
        listed = sums or {name: data for name, data in files.items() if "/" not in name}
        lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/{name}\n" for name, data in listed.items()]
        (directory / "Release").write_text("".join([text, *(f"{field}\n" for field in fields), "SHA256:\n", *lines]))
        gpg(self.home, "--clearsign", "--output", directory / "InRelease", directory / "Release")


@pytest.fixture
def suite(tmp_path, keys):
    return Suite(tmp_path, keys[1], keys[0])


async def read(suite, architecture="amd64", **changed):
    return await read_suite(suite.mirror, suite.suite, architecture, **changed)


@pytest.mark.parametrize(("name", "pack"), [("Packages", bytes), ("Packages.gz", gzip.compress), ("Packages.xz", lzma.compress)])
async def test_an_index_is_read_however_it_is_packed(suite, name, pack):
    suite.write({name: pack(PACKAGES)})

    found = await read(suite)

    assert found.packages == PACKAGES
    assert found.priority == 500
    inline = (suite.directory / "dists/testing/InRelease").read_bytes()
    assert found.index.sha256 == hashlib.sha256(inline).hexdigest()


async def test_a_file_by_its_hash_is_taken_before_one_by_its_name(suite):
    digest = hashlib.sha256(PACKAGES).hexdigest()
    files = {"Packages": b"of another day", f"by-hash/SHA256/{digest}": PACKAGES}
    suite.write(files, fields=["Acquire-By-Hash: yes"], sums={"Packages": PACKAGES})

    assert (await read(suite)).packages == PACKAGES


@pytest.mark.parametrize(
    ("fields", "priority"),
    [(["NotAutomatic: yes"], 1), (["NotAutomatic: yes", "ButAutomaticUpgrades: yes"], 100), (["ButAutomaticUpgrades: yes"], 500)],
)
async def test_a_suite_that_says_so_is_asked_last(suite, fields, priority):
    suite.write({"Packages": PACKAGES}, fields=fields)

    assert (await read(suite)).priority == priority


async def test_a_signature_may_stand_beside_the_file(suite):
    suite.write({"Packages": PACKAGES})
    directory = suite.directory / "dists/testing"
    gpg(suite.home, "--detach-sign", "--output", directory / "Release.gpg", directory / "Release")
    (directory / "InRelease").unlink()

    assert (await read(suite)).packages == PACKAGES


async def test_what_stands_around_the_signed_part_is_not_believed(suite):
    suite.write({"Packages": b"old and signed"})
    inline = suite.directory / "dists/testing/InRelease"
    (suite.directory / "dists/testing/main/binary-amd64/Packages").write_bytes(PACKAGES)
    forged = f"SHA256:\n {hashlib.sha256(PACKAGES).hexdigest()} {len(PACKAGES)} main/binary-amd64/Packages\n\n"
    inline.write_text(forged + inline.read_text() + forged)

    with pytest.raises(IndexRefused):
        await read(suite)


@pytest.mark.parametrize(
    ("files", "sums", "words"),
    [
        ({"Packages": PACKAGES + b"\n"}, {"Packages": PACKAGES}, "is not the one that its Release file names"),
        ({"Packages": PACKAGES[:-1]}, {"Packages": PACKAGES}, "is not the one that its Release file names"),
        ({"Packages.xz": b"no archive"}, None, "does not unpack to what its Release file names"),
        ({"Packages.gz": BOMB}, {"Packages": PACKAGES, "Packages.gz": BOMB}, "does not unpack"),
        ({"other": b""}, None, "its Release file names no main/binary-amd64/Packages"),
        ({"other": b""}, {"Packages": PACKAGES}, "lacks main/binary-amd64/Packages"),
    ],
)
async def test_an_index_that_is_not_the_signed_one_is_refused(suite, files, sums, words):
    suite.write(files, sums=sums)

    with pytest.raises(IndexRefused, match=words) as caught:
        await read(suite)

    assert caught.value.suites == ("testing",)


async def test_a_signed_file_that_was_changed_is_refused(suite):
    suite.write({"Packages": PACKAGES})
    inline = suite.directory / "dists/testing/InRelease"
    inline.write_text(inline.read_text().replace("Origin: Test", "Origin: Evil"))

    with pytest.raises(IndexRefused, match="it has no good signature") as caught:
        await read(suite)

    assert any("BADSIG" in reason for reason in caught.value.reasons)


async def test_the_file_of_another_suite_is_refused(suite):
    suite.write({"Packages": PACKAGES})
    (suite.directory / "dists/stable").symlink_to("testing")

    with pytest.raises(IndexRefused, match="its Release file is of testing"):
        await read_suite(Mirror(suite.mirror.url, (), str(suite.key)), "stable", "amd64")


async def test_without_a_mirror_there_the_place_is_named(suite):
    with pytest.raises(IndexRefused, match=r"dists/testing has no Release file"):
        await read(suite)
