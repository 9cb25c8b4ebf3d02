"""The collector takes what nothing leads to, and only that."""

from __future__ import annotations

import os
import subprocess
import sys

from deployer.store import Store, collect, verify

LOW = b"low" * 2000 + os.urandom(8)
"""Not the same in two processes: what a process of another test names would be kept."""


def linked(store):
    low = store.add_text("low", LOW)
    return low, store.add_text("high", str(low).encode(), [low])


def fresh(store):
    """As another process sees the store: without this one's temporary roots."""
    store._roots.close()
    return Store(store.root)


def test_what_a_root_leads_to_stays_and_the_rest_goes(store):
    low, high = linked(store)
    dead = store.add_text("dead", b"dead" * 2000)
    store.add_root("generation-1", high)

    collected = collect(fresh(store))

    assert collected.paths == (str(dead),)
    assert store.valid([low, high, dead]) == {str(low), str(high)}
    assert not store.physical(dead).exists()
    assert len(os.listdir(store.layout.links)) == 2
    assert verify(store) == ()


def test_a_dry_run_says_the_same_and_removes_nothing(store):
    low, high = linked(store)

    planned = collect(fresh(store), dry_run=True)

    assert store.valid([low, high]) == {str(low), str(high)}
    assert collect(fresh(store)) == planned


def test_what_is_to_be_kept_stays(store):
    low, high = linked(store)

    collected = collect(fresh(store), keep=[str(low)])

    assert collected.paths == (str(high),)


def test_what_a_living_process_has_just_added_stays_until_it_ends(store):
    low, high = linked(store)

    assert collect(Store(store.root)).paths == ()

    assert set(collect(fresh(store)).paths) == {str(low), str(high)}


def test_a_path_that_was_there_already_is_kept_for_who_adds_it_again(store):
    low, _ = linked(store)
    other = fresh(store)
    other.add_text("low", LOW)

    collect(Store(store.root))

    assert store.is_valid(low)


def test_a_path_that_a_process_has_open_stays(store):
    low, high = linked(store)
    open_now = store.physical(low).open("rb")

    with open_now:
        collected = collect(fresh(store))

    assert collected.paths == (str(high),)


def test_a_path_that_another_process_is_in_stays(store, tmp_path):
    (tmp_path / "source").mkdir()
    path = store.add_tree("directory", tmp_path / "source")
    command = [sys.executable, "-c", "print(flush=True); input()"]

    with subprocess.Popen(command, cwd=store.physical(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        during = collect(fresh(store)).paths
        process.communicate(b"\n")

    assert during == ()
    assert collect(fresh(store)).paths == (str(path),)


def test_what_crashes_left_goes_and_what_is_not_ours_stays(store):
    store.add_root("low", linked(store)[0])
    (store.layout.aside / "4194305-left").mkdir()
    (store.layout.store / ("0" * 32 + "-unregistered")).mkdir()
    (store.layout.store / "lost+found").mkdir()

    collect(fresh(store))

    assert os.listdir(store.layout.aside) == []
    assert not (store.layout.store / ("0" * 32 + "-unregistered")).exists()
    assert (store.layout.store / "lost+found").exists()


def test_verify_tells_of_what_has_changed_and_what_is_gone(store):
    low, high = linked(store)
    store.physical(low).chmod(0o644)
    store.physical(low).write_bytes(b"changed")
    store.physical(high).unlink()

    damaged = {damage.path: bool(damage.found) for damage in verify(store)}

    assert damaged == {str(low): True, str(high): False}
