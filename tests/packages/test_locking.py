"""`deployer.lock` written from a signed repository, and what is refused of one that is not as it should be."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from deployer.packages import PackageSet
from deployer.packages.debian.updates import find_updates
from deployer.packages.errors import IndexRefused, LockOutdated, PackageInvalid, PackageUnknown
from deployer.packages.lock_changes import LockChange
from deployer.packages.lockfile import LOCK_NAME, Lock
from deployer.packages.locking import lock_packages
from deployer.packages.mirrors import Mirror
from tests.packages.repository import Repository, signing_key

pytestmark = [
    pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed"),
    pytest.mark.usefixtures("solver"),
]
PACKAGES = """
tool: {kind: debian, suite: testing, packages: [tool]}
other: {kind: debian, suite: testing, packages: [other]}
"""


@pytest.fixture
def repository(tmp_path, keys, solver):
    """A published suite with `tool`, which needs `lib`, and `other`."""
    (tmp_path / "mirror").mkdir()
    made = Repository(tmp_path / "mirror", keys[1], keys[0])
    made.add("tool", "1.0", Depends="lib (>= 1)")
    made.add("lib", "1.0")
    made.add("other", "1.0")
    made.publish()
    return made


@pytest.fixture
def lock(tmp_path, repository):
    """Lock packages.yaml of the given text against the repository."""

    async def lock_text(text=PACKAGES, **options):
        (tmp_path / "packages.yaml").write_text(text)
        return await lock_packages(tmp_path / "packages.yaml", mirrors=[repository.mirror], **options)

    return lock_text


async def test_a_lock_holds_the_date_and_the_key_of_the_signed_index(lock, repository, tmp_path):
    date = repository.publish(age=timedelta(days=3))

    locking = await lock()

    (index,) = locking.lock.debian["tool"].indexes
    assert (index.suite, index.date) == ("testing", f"{date:%Y-%m-%dT%H:%M:%SZ}")
    assert [len(key) for key in index.keys] == [40]
    assert Lock.read(tmp_path / LOCK_NAME) == locking.lock


async def test_the_changes_tell_what_came_what_went_and_from_what_to_what(lock, repository, tmp_path):
    await lock()
    old = repository.publish()
    repository.stanzas.clear()
    repository.add("tool", "1.1", Depends="new")
    repository.add("new", "2")
    repository.add("other", "1.0")
    new = repository.publish(age=timedelta(hours=-0.001))
    before = (tmp_path / LOCK_NAME).read_text()

    tried = await lock(only=["tool"], write=False)
    assert (tmp_path / LOCK_NAME).read_text() == before
    locking = await lock(only=["tool"])

    assert locking == tried
    assert [change for change in locking.changes if not change.input.startswith("index")] == [
        LockChange("tool", "lib", "1.0", ""),
        LockChange("tool", "new", "", "2"),
        LockChange("tool", "tool", "1.0", "1.1"),
    ]
    assert new > old
    assert [str(change) for change in locking.changes[1:]] == ["- lib  1.0", "+ new  2", "  tool  1.0 → 1.1"]
    assert (await lock(only=["tool"])).changes == ()


async def test_a_package_that_changed_under_its_version_is_told(lock, repository):
    await lock()
    repository.add("other", "1.0", files={"usr/share/other/more": "x"})
    repository.publish()

    locking = await lock(only=["other"])

    assert LockChange("other", "other", "1.0", "1.0 (other content)") in locking.changes


@pytest.mark.parametrize(
    ("publish", "words", "remedy"),
    [
        ({"signed": False}, "not signed", "signed by a key"),
        ({"age": timedelta(days=9), "valid_for": timedelta(days=7)}, "expired", "up to date"),
        ({"age": timedelta(days=-2)}, "not valid yet", "clock"),
    ],
)
async def test_an_index_that_is_not_signed_or_not_of_now_is_refused_and_nothing_is_written(
    lock, repository, tmp_path, monkeypatch, publish, words, remedy
):
    settings = 'Acquire::AllowInsecureRepositories "true"; Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";'
    (tmp_path / "careless.conf").write_text(settings)
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "careless.conf"))
    repository.publish(**publish)

    with pytest.raises(IndexRefused, match=words) as caught:
        await lock()

    assert remedy in caught.value.remedy
    assert not (tmp_path / LOCK_NAME).exists()


async def test_an_index_that_a_stranger_signed_is_refused(lock, repository, tmp_path):
    with signing_key() as (home, _):
        Repository(repository.directory, repository.key, home, stanzas=repository.stanzas).publish()

    with pytest.raises(IndexRefused, match="NO_PUBKEY"):
        await lock()


@pytest.mark.parametrize(
    ("packages", "message", "remedy"),
    [
        ("[tol]", "no index of testing has a package 'tol'", "Did you mean 'tool'"),
        ("[mta]", "no index of testing has a package 'mta', but several", "Name one of them: other-mta, small-mta."),
        ("[tool=9]", "no index of testing has version 9 of tool", "Those that are there: 1.0."),
        ("[needy]", r"needy : Depends: lib \(>= 2\)", "another version"),
        ("[foe, other]", "foe : Conflicts: other", "Leave one of them out"),
        ('["tool; rm"]', "is no name of a Debian package", ""),
    ],
)
async def test_what_cannot_be_solved_is_told_in_words_that_help(lock, repository, packages, message, remedy):
    repository.add("needy", "1", Depends="lib (>= 2)")
    repository.add("foe", "1", Conflicts="other")
    repository.add("small-mta", "1", Provides="mta")
    repository.add("other-mta", "1", Provides="mta")
    repository.publish()

    with pytest.raises(PackageInvalid, match=message) as caught:
        await lock(f"set: {{kind: debian, suite: testing, packages: {packages}}}")

    assert remedy in caught.value.remedy
    assert caught.value.place is not None


async def test_what_would_merge_a_tree_is_left_out_of_one_that_is_merged_unless_it_is_asked_for(lock, repository):
    repository.add("usrmerge", "1", Depends="perl")
    repository.add("usr-is-merged", "1")
    repository.add("perl", "1")
    repository.add("helpers", "1", Depends="usrmerge | usr-is-merged")
    repository.publish()

    locking = await lock(
        "needed: {kind: debian, suite: testing, packages: [helpers]}\n"
        "asked: {kind: debian, suite: testing, packages: [helpers, usrmerge=1]}\n"
        "neither: {kind: debian, suite: testing, packages: [other]}\n"
    )

    names = {name: [deb.name for deb in locked.debs] for name, locked in locking.lock.debian.items()}
    assert names == {
        "needed": ["helpers", "usr-is-merged"],
        "asked": ["helpers", "perl", "usrmerge"],
        "neither": ["other"],
    }


async def test_an_index_that_is_not_there_is_told_in_one_line(lock):
    with pytest.raises(IndexRefused) as caught:
        await lock("tool: {kind: debian, suite: tesing, packages: [tool]}")

    (reason,) = caught.value.reasons
    assert "dists/tesing" in reason or "tesing Release" in reason
    assert "names of the suites" in caught.value.remedy


async def test_each_suite_comes_from_the_mirror_that_has_it(repository, tmp_path, keys):
    (tmp_path / "other").mkdir()
    security = Repository(tmp_path / "other", keys[1], keys[0], suite="testing-security")
    security.add("lib", "1.1")
    security.publish()
    mirrors = [Mirror(f"file://{one.directory}", signed_by=str(one.key)) for one in (repository, security)]
    (tmp_path / "packages.yaml").write_text("tool: {kind: debian, suite: [testing, testing-security], packages: [tool]}")

    locking = await lock_packages(tmp_path / "packages.yaml", mirrors=mirrors)

    assert {deb.name: deb.version for deb in locking.lock.debian["tool"].debs} == {"lib": "1.1", "tool": "1.0"}


async def test_other_components_than_main_are_read_where_they_are_asked_for(lock, repository, tmp_path):
    repository.add("server", "1", Depends="lib")
    repository.components["server", "1"] = "universe"
    repository.publish()
    text = "server: {{kind: debian, suite: testing, packages: [server], components: {}}}"

    with pytest.raises(PackageInvalid, match="no index of testing has a package 'server'"):
        await lock(text.format("[main]"))
    locked = (await lock(text.format("[main, universe]"))).lock.debian["server"]

    assert [deb.name for deb in locked.debs] == ["lib", "server"]
    assert Lock.read(tmp_path / LOCK_NAME).debian["server"] == locked
    (tmp_path / "packages.yaml").write_text(text.format("[universe, main]"))
    with pytest.raises(LockOutdated, match="pins another set"):
        PackageSet.load(tmp_path / "packages.yaml").check()

    security = Repository(repository.directory, repository.key, repository.home, suite="testing-security")
    security.add("server", "2")
    security.components["server", "2"] = "universe"
    security.publish()
    (update,) = (await find_updates({"server": locked}, [repository.mirror, security.mirror]))["server"]
    assert (update.newest, update.is_security) == ("2", True)


async def test_only_what_is_there_can_be_updated(lock):
    with pytest.raises(PackageUnknown) as caught:
        await lock(only=["tolo"])

    assert caught.value.near == ("tool",)
