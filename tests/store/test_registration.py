"""What is registered of a path, also in a store that an earlier version made."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployer.store import PathInfo, Store, StoreUnusable, collect
from deployer.store.database import _STEPS, Database


def info(name, **more):
    return PathInfo(f"/nix/store/{'0' * 32}-{name}", f"sha256:{'1' * 52}", 120, **more)


def test_all_that_is_registered_is_told(store):
    given = info(
        "one", ca="fixed:r:sha256:x", deriver="/nix/store/x.drv", signatures=("a:1", "b:2"), registration_time=7, ultimate=True
    )
    store.database.register([given, info("two")])

    assert store.query(given.path) == given
    two = store.query(info("two").path)
    assert abs(two.registration_time - time.time()) < 60
    assert (two.signatures, two.ultimate) == ((), False)


def test_signatures_are_added_and_none_stands_twice(store):
    store.database.register([info("one", signatures=("b:2",))])

    store.add_signatures(info("one").path, ["c:3", "a:1", "b:2"])
    store.add_signatures(info("one").path, [])

    assert store.query(info("one").path).signatures == ("a:1", "b:2", "c:3")


def test_a_store_whose_lock_cannot_be_had_is_told_and_not_used(store):
    """As that of another user: its files are for that user alone."""
    store.add_text("x", b"x")
    (store.layout.state / "gc.lock").unlink()
    (store.layout.state / "gc.lock").mkdir()

    for use in (lambda: store.keep([]), lambda: collect(store)):
        with pytest.raises(StoreUnusable, match=r"gc\.lock can't be used") as caught:
            use()
        assert "--store-root" in caught.value.remedy


def test_what_is_built_here_says_so(store):
    made = store.temporary_directory / "made"
    _ = store.database
    made.write_text("content")

    assert store.register_output(info("one").path, made).ultimate
    assert not store.query(store.add_text("two", b"x")).ultimate


def test_a_store_of_the_first_version_is_brought_forward_once(tmp_path):
    store = Store(tmp_path)
    store.layout.make()
    old = sqlite3.connect(store.layout.database)
    old.executescript(f"{_STEPS[0]} PRAGMA user_version = 1;")
    old.execute("INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES (?, 'sha256:x', 5, 9)", [info("one").path])
    old.commit()
    old.close()

    with ThreadPoolExecutor(4) as pool:
        found = [database.query(info("one").path) for database in pool.map(lambda _: Database(store.layout.database), range(4))]

    assert found == [PathInfo(info("one").path, "sha256:x", 9, registration_time=5)] * 4


def test_a_store_of_a_later_version_is_used_and_left_as_it_is(tmp_path):
    store = Store(tmp_path)
    _ = store.database
    newer = sqlite3.connect(store.layout.database)
    newer.executescript("ALTER TABLE ValidPaths ADD COLUMN later TEXT; CREATE TABLE Later (x); PRAGMA user_version = 99;")
    newer.close()

    again = Store(tmp_path)
    path = again.add_text("one", b"x")

    assert Store(tmp_path).is_valid(path)
    assert again.database._connection.execute("PRAGMA user_version").fetchone() == (99,)
