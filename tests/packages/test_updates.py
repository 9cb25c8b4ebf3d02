"""What is newer in the indexes of today than in a lock, and which indexes are not believed."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from deployer.packages import PackageSet
from deployer.packages.debian.updates import Update, find_updates, newest_versions, security_suite, suites_to_ask
from deployer.packages.errors import IndexRefused, MirrorsUnknown
from deployer.packages.interpreter import LOCK_FILE, interpreter
from deployer.packages.lockfile import Lock, LockedDebian
from deployer.packages.locking import lock_packages
from deployer.packages.mirrors import Mirror, mirrors_of
from tests.packages.repository import Repository

apt = pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
PACKAGES = """
tool: {kind: debian, suite: testing, packages: [tool]}
other: {kind: debian, suite: testing, packages: [other]}
"""


@pytest.fixture
def suites(tmp_path, keys, solver):
    """A suite with `tool`, which needs `lib`, and `other`; and its security suite, which is empty."""
    (tmp_path / "mirror").mkdir()
    made = Repository(tmp_path / "mirror", keys[1], keys[0])
    made.add("tool", "1.0-1", Depends="lib")
    made.add("lib", "1.0-1")
    made.add("other", "1.0-1")
    made.publish(age=timedelta(hours=1))
    security = Repository(tmp_path / "mirror", keys[1], keys[0], suite="testing-security")
    security.publish()
    return made, security


@pytest.fixture
async def locked(tmp_path, suites):
    """What the suite came to."""
    (tmp_path / "packages.yaml").write_text(PACKAGES)
    return (await lock_packages(tmp_path / "packages.yaml", mirrors=[suites[0].mirror])).lock.debian


@apt
async def test_nothing_is_due_where_the_indexes_are_as_they_were(suites, locked):
    assert await find_updates(locked, [one.mirror for one in suites]) == {"other": (), "tool": ()}


@apt
async def test_a_fix_is_found_in_the_security_suite_that_was_not_locked_from(suites, locked):
    suite, security = suites
    suite.add("other", "1.0-2")
    suite.add("lib", "0.9-1")
    suite.publish()
    security.add("lib", "1.0-1+deb1u1")
    security.add("lib", "1.0-1+deb1u2")
    security.add("unrelated", "7")
    security.publish()

    found = await find_updates(locked, [one.mirror for one in suites])

    fix = Update("tool", "lib", "amd64", "1.0-1", "1.0-1+deb1u2", ("testing-security",))
    assert found == {"other": (Update("other", "other", "amd64", "1.0-1", "1.0-2", ("testing",)),), "tool": (fix,)}
    assert [update.is_security for updates in found.values() for update in updates] == [False, True]


@apt
async def test_a_fix_that_both_suites_have_is_one_of_security(suites, locked):
    suite, security = suites
    security.add("tool", "1.0-1+deb1u1")
    security.publish()
    suite.add("tool", "1.1-1")
    suite.publish()

    (update,) = (await find_updates({"tool": locked["tool"]}, [one.mirror for one in suites]))["tool"]

    assert (update.newest, update.suites, update.is_security) == ("1.1-1", ("testing-security", "testing"), True)


@apt
async def test_mirrors_of_which_the_suites_are_not_known_are_asked_in_turn(suites, locked, tmp_path, keys):
    (tmp_path / "empty").mkdir()
    mirrors = [Mirror(f"file://{tmp_path}/empty", signed_by=str(keys[1])), Mirror(suites[0].mirror.url, signed_by=str(keys[1]))]

    assert await find_updates(locked, mirrors) == {"other": (), "tool": ()}


@apt
@pytest.mark.parametrize(
    ("publish", "words", "remedy"),
    [
        ({"signed": False}, "not signed", "signed by a key"),
        ({"age": timedelta(days=9), "valid_for": timedelta(days=7)}, "expired", "up to date"),
        ({"age": timedelta(days=-2)}, "not valid yet", "clock"),
    ],
)
async def test_a_security_index_that_is_not_signed_or_not_of_now_is_refused(suites, locked, publish, words, remedy):
    suites[1].publish(**publish)

    with pytest.raises(IndexRefused, match=words) as caught:
        await find_updates(locked, [one.mirror for one in suites])

    assert (caught.value.suites, remedy in caught.value.remedy) == (("testing-security",), True)


@apt
async def test_an_index_that_is_older_than_the_locked_one_is_refused(suites, locked):
    suites[0].publish(age=timedelta(days=3))

    with pytest.raises(IndexRefused, match="older than the one that was locked") as caught:
        await find_updates(locked, [one.mirror for one in suites])

    assert "up to date" in caught.value.remedy


@pytest.mark.parametrize(
    ("suite", "security"),
    [
        ("bookworm", "bookworm-security"),
        ("bookworm-updates", "bookworm-security"),
        ("noble-proposed", "noble-security"),
        ("bookworm-backports", "bookworm-security"),
        ("bookworm-security", None),
        ("sid", None),
        ("sid/", None),
    ],
)
def test_suites_have_their_security_suites(suite, security):
    assert security_suite(suite) == security


def test_each_suite_is_asked_once():
    locked = LockedDebian(("a", "a-updates", "a-security"), (), "amd64", ())

    assert suites_to_ask(locked) == ("a", "a-updates", "a-security")


def test_the_python_that_comes_with_deployer_is_among_what_is_used():
    packages = PackageSet({})
    python = interpreter(packages, "x86_64", "/nix/store")

    assert packages.root_trees([python]) == {"host-python-x86_64": Lock.read(LOCK_FILE).debian["host-python-x86_64"]}
    assert packages.root_trees([]) == {}


def test_an_index_may_have_several_versions_of_a_package():
    index = b"Package: a\nVersion: 1.9\n\nPackage: b\nVersion: 3\n\nPackage: a\nVersion: 1.10\nX: y\n\nPackage: a\nVersion: 1.2\n"

    assert {name: str(version) for name, version in newest_versions(index, {"a", "c"}).items()} == {"a": "1.10"}


def test_a_mirror_of_one_release_is_asked_for_suites_of_another_of_the_same_kind():
    main, security = Mirror("http://a.example", ("bookworm",)), Mirror("http://b.example", ("bookworm-security",))

    assert mirrors_of("trixie", [main, security]) == (main,)
    assert mirrors_of("trixie-security", [main, security]) == (security,)
    with pytest.raises(MirrorsUnknown):
        mirrors_of("trixie-security", [main])
