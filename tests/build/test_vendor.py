"""Vendor directories: what lies in them, what builds take from them, and what they are told where a file is not there."""

from __future__ import annotations

import base64
import hashlib
import json
import pwd
import threading

import pytest

from deployer.build import BuildSettings, realise
from deployer.build.errors import HashMismatch
from deployer.build.fetch import Fetch
from deployer.build.limits import FetchLimits
from deployer.build.source_errors import NotVendored
from deployer.build.vendor import LIST, VendorDirectory, VendoredFile, vendored_files
from deployer.packages import PackageSet
from deployer.packages.errors import SettingsUnreadable
from deployer.packages.mirrors import find_vendor
from deployer.packages.recipes import ArchiveRecipe, FetchRecipe
from deployer.store import Store
from tests.build.test_fetch import CONTENT, DIGEST, server  # noqa: F401

HELD = f"sha256/{DIGEST.hex()}"


def packages(url="http://127.0.0.1:1/hello.txt", digest=DIGEST):
    """One fetched file under two names, and another."""
    pinned = f"sha256-{base64.b64encode(digest).decode()}"
    other = f"sha512-{base64.b64encode(hashlib.sha512(b'other').digest()).decode()}"
    return PackageSet(
        {
            "hello": FetchRecipe(name="hello", url=url, hash=pinned),
            "again": FetchRecipe(name="again", url=url, hash=pinned, executable=True),
            "other": FetchRecipe(name="other", url="http://127.0.0.1:1/other", hash=other),
            "tree": ArchiveRecipe(name="tree", source="other"),
        }
    )


async def build(root, of, *names, **settings):
    """Build packages in a store of their own."""
    store = Store(root / "root", "/nix/store")
    paths = of.instantiate(store, names)
    await realise(store, paths.values(), settings=BuildSettings(mirrors={}, **settings))
    return store


def test_what_packages_fetch_is_named_by_its_hash_and_once():
    of = packages()

    files = vendored_files([of.made(name) for name in of.names()])

    sha512 = f"sha512/{hashlib.sha512(b'other').hexdigest()}"
    assert sorted((file.place, file.url) for file in files) == [
        (HELD, "http://127.0.0.1:1/hello.txt"),
        (sha512, "http://127.0.0.1:1/other"),
    ]


def test_a_file_is_copied_whole_and_right_or_not_at_all(tmp_path):
    directory = VendorDirectory(tmp_path / "vendor")
    file = VendoredFile(HELD, "hello", "http://127.0.0.1:1/")
    (tmp_path / "good").write_bytes(CONTENT)
    (tmp_path / "bad").write_bytes(b"bad")

    with pytest.raises(HashMismatch):
        directory.add(file, tmp_path / "bad")
    assert [*(tmp_path / "vendor/sha256").iterdir()] == []
    assert directory.missing([file]) == (file,)
    directory.add(file, tmp_path / "good")

    assert (tmp_path / "vendor" / HELD).read_bytes() == CONTENT
    assert directory.missing([file]) == ()
    assert list(directory.damaged([file])) == []
    (tmp_path / "vendor" / HELD).write_bytes(b"bad")
    (damage,) = directory.damaged([file])
    assert (damage.what, damage.expected) == (str(tmp_path / "vendor" / HELD), file.sri)


def test_only_files_that_are_ours_by_their_names_are_stale(tmp_path):
    directory = VendorDirectory(tmp_path)
    (tmp_path / "sha256").mkdir()
    old = f"sha256/{'ab' * 32}"
    for place in (HELD, old, "sha256/README", f"sha256/{'AB' * 32}", f"sha256/{'ab' * 30}", LIST):
        (tmp_path / place).touch()

    stale = directory.stale([VendoredFile(HELD, "hello", "")])
    directory.remove(stale)

    assert stale == (old,)
    assert len([*(tmp_path / "sha256").iterdir()]) == 4


def test_the_list_tells_people_what_lies_there(tmp_path):
    files = [VendoredFile(f"sha256/{letter * 64}", name, "http://x/") for letter, name in [("a", "z.deb"), ("b", "a.whl")]]

    VendorDirectory(tmp_path).write_list(files)

    told = json.loads((tmp_path / LIST).read_text())
    assert [entry["name"] for entry in told] == ["a.whl", "z.deb"]
    assert told[1] == {"file": f"sha256/{'a' * 64}", "name": "z.deb", "url": "http://x/"}


async def test_builds_take_files_from_the_directory_and_ask_nobody_else(tmp_path, server):  # noqa: F811
    of = packages(f"{server.url}/hello.txt")
    (tmp_path / "vendor/sha256").mkdir(parents=True)
    (tmp_path / "vendor" / HELD).write_bytes(CONTENT)

    store = await build(tmp_path, of, "hello", vendor=[(tmp_path / "vendor").as_uri()])

    assert store.physical(of.output_path("hello")).read_bytes() == CONTENT
    assert server.asked == []


async def test_all_that_is_missing_is_told_before_anything_is_built(tmp_path, server):  # noqa: F811
    of = packages(f"{server.url}/hello.txt")
    (tmp_path / "empty").mkdir()

    with pytest.raises(NotVendored) as caught:
        await build(tmp_path, of, "hello", "tree", vendor=[(tmp_path / "empty").as_uri(), (tmp_path / "none").as_uri()])

    assert server.asked == []
    hello, other = caught.value.files
    assert hello.startswith("hello (sha256-")
    assert hello.endswith(f") from {server.url}/hello.txt")
    assert other.startswith("other (sha512-")
    assert "deployer package vendor" in caught.value.remedy


async def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "vendor/sha256").mkdir(parents=True)
    (tmp_path / "vendor" / HELD).write_bytes(b"bad")

    with pytest.raises(HashMismatch, match=f"vendor/{HELD}"):
        await build(tmp_path, packages(), "hello", vendor=[(tmp_path / "vendor").as_uri()])


def fetch(tmp_path, vendor, digest=DIGEST):
    """Fetch one file by vendor directories."""
    limits = FetchLimits(timeout=5, first_wait=0.001)
    Fetch(
        "http://127.0.0.1:1/", tmp_path / "file", "sha256", digest, {}, limits, lambda *_: None, threading.Event(), vendor
    ).run()
    return (tmp_path / "file").read_bytes()


def test_a_web_server_may_show_the_directory_and_several_are_asked_in_turn(tmp_path, server):  # noqa: F811
    assert fetch(tmp_path, (f"{server.url}/missing", (tmp_path / "none").as_uri(), f"{server.url}/vendor/")) == CONTENT
    assert server.asked == [f"/missing/{HELD}", f"/vendor/{HELD}"]

    with pytest.raises(NotVendored, match="answered 404"):
        fetch(tmp_path, (f"{server.url}/missing",))


def test_what_has_no_hash_of_a_file_is_in_no_directory(tmp_path):
    with pytest.raises(NotVendored, match="not a file's hash"):
        fetch(tmp_path, (tmp_path.as_uri(),), digest=None)


def test_a_machine_says_by_a_variable_or_a_file_where_its_directories_are(tmp_path):
    (tmp_path / "etc/deployer").mkdir(parents=True)
    (tmp_path / "etc/deployer/vendor").write_text("/srv/a directory # ours\nhttps://vendor.example\n")
    home = {"HOME": str(tmp_path)}

    assert find_vendor(home, root=tmp_path) == ("file:///srv/a%20directory", "https://vendor.example")
    assert find_vendor({**home, "DEPLOYER_VENDOR": "/a file:///b"}, root=tmp_path) == ("file:///a", "file:///b")
    assert find_vendor(home, root=tmp_path / "none") == ()


def test_a_users_settings_are_found_by_the_account_where_the_environment_is_empty(tmp_path, monkeypatch):
    account = pwd.struct_passwd(("ann", "x", 4242, 4242, "", str(tmp_path), "/bin/sh"))
    (tmp_path / ".config/deployer").mkdir(parents=True)
    (tmp_path / ".config/deployer/vendor").write_text("/srv/ann\n")

    monkeypatch.setattr(pwd, "getpwuid", lambda user: account)
    assert find_vendor({}, root=tmp_path) == ("file:///srv/ann",)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: {}[user])
    assert find_vendor({}, root=tmp_path) == ()


def test_settings_that_cannot_be_read_are_told_and_not_passed_over(tmp_path):
    (tmp_path / "etc/deployer").mkdir(parents=True)
    (tmp_path / "etc/deployer/vendor").write_bytes(b"\xff")

    with pytest.raises(SettingsUnreadable, match="etc/deployer/vendor can't be read"):
        find_vendor({"HOME": str(tmp_path)}, root=tmp_path)
