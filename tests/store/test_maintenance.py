"""Deleting, collecting in part, storing equal files once, and bringing back what was damaged."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading

import pytest

from deployer.formats import StorePath
from deployer.store import PathAlive, Store, collect, delete, optimise, trees, verify
from deployer.store.errors import PathNotValid


@pytest.fixture
def chain(store):
    """Three paths, each of which refers to the one before; nothing keeps them."""
    paths: list[StorePath] = []
    for number in range(3):
        content = b"x" * 1000 + b"".join(str(path).encode() for path in paths[-1:])
        paths.append(store.add_text(f"text-{number}", content, paths[-1:]))
    store._roots.close()
    return [str(path) for path in paths]


def test_a_collection_that_stops_early_leaves_what_others_refer_to(store, chain):
    for count in (2, 1, 0):
        collect(store, max_freed=1)
        assert list(store.database.all_paths()) == sorted(chain[:count])
        assert verify(store) == ()


def test_what_would_go_without_a_root_is_told_and_stays(store, chain):
    store.add_root("old", chain[2])
    store.add_root("new", chain[1])

    assert collect(store, dry_run=True).paths == ()
    assert collect(store, dry_run=True, without=["old"]).paths == (chain[2],)
    assert len(store.valid(chain)) == 3


def test_with_a_path_its_derivation_stays(store, chain, tmp_path):
    made = store.temporary_directory / "made"
    made.write_text("content")
    drv = chain[2]
    output = store.register_output("/nix/store/" + "1" * 32 + "-built", made, deriver=drv).path
    store._roots.close()
    store.add_root("mine", output)

    assert collect(store, dry_run=True).paths == ()
    assert set(collect(store, dry_run=True, without=["mine"]).paths) == {output, *chain}


def test_only_what_nothing_needs_is_deleted(store, chain):
    store.add_root("mine", chain[0])

    for paths, error in (([chain[0]], PathAlive), (chain[1:2], PathAlive), (["/nix/store/" + "0" * 32 + "-x"], PathNotValid)):
        with pytest.raises(error):
            delete(store, paths)
    assert delete(store, chain[1:], dry_run=True).paths == tuple(sorted(chain[1:]))
    assert len(store.valid(chain)) == 3
    assert delete(store, chain[1:]).paths == tuple(sorted(chain[1:]))

    assert store.valid(chain) == {chain[0]}
    assert not store.physical(chain[2]).exists()


def test_equal_files_are_stored_once_and_stay_what_they_are(store, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for name in ("one", "sub/two"):
        (source / name).write_bytes(b"content" * 999)
    paths = [store.add_tree(name, source) for name in ("a", "b")]
    shutil.rmtree(store.layout.links)
    store.layout.links.mkdir()
    for path in paths:
        for name in ("one", "sub/two"):
            file = store.physical(path) / name
            copy = file.read_bytes()
            os.unlink(file)
            file.write_bytes(copy)
            file.chmod(0o444)
            os.utime(file, (1, 1))

    done = optimise(store)

    assert (done.files, done.bytes) == (3, 3 * 7 * 999)
    assert len({os.stat(store.physical(path) / name).st_ino for path in paths for name in ("one", "sub/two")}) == 1
    assert optimise(store).files == 0
    assert verify(store) == ()


def damage(store, path):
    place = store.physical(path)
    place.chmod(0o644)
    place.write_bytes(b"y" * place.stat().st_size)


def test_what_is_damaged_is_brought_back_and_its_file_is_linked_no_more(store, chain):
    good = store.physical(chain[0]).read_bytes()
    damage(store, chain[0])

    def repair(path, place):
        with open(place, "wb") as file:
            file.write(good)
        return True

    assert [(one.path, one.repaired) for one in verify(store)] == [(chain[0], False)]
    assert [(one.path, one.repaired) for one in verify(store, repair=repair)] == [(chain[0], True)]

    assert verify(store) == ()
    again = Store(store.root)
    assert again.physical(chain[0]).read_bytes() == good
    assert not any(link.read_bytes().startswith(b"y") for link in store.layout.links.iterdir())


def test_a_repair_that_is_wrong_is_not_taken(store, chain):
    damage(store, chain[0])

    def repair(path, place):
        with open(place, "wb") as file:
            file.write(b"wrong")
        return True

    assert [one.repaired for one in verify(store, repair=repair)] == [False]
    assert os.listdir(store.temporary_directory) == []


def test_what_is_gone_is_dropped_unless_something_there_refers_to_it(store, chain):
    for path in (chain[0], chain[2]):
        os.unlink(store.physical(path))

    found = {one.path: one.dropped for one in verify(store, repair=lambda path, place: False)}

    assert found == {chain[0]: False, chain[2]: True}
    assert store.valid(chain) == set(chain[:2])


def test_nobody_waits_while_what_was_collected_is_removed(store, chain, monkeypatch):
    removed = []

    def remove(place):
        with (store.layout.state / "gc.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as whoever adds a path does
        assert store.valid(chain) == set()
        removed.append(place)
        real(place)

    real = trees.remove
    monkeypatch.setattr(trees, "remove", remove)
    collect(Store(store.root))

    assert len(removed) == 3
    assert os.listdir(store.layout.aside) == []
    assert os.listdir(store.layout.links) == []


def test_a_tree_is_mended_at_one_instant(store, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"good" * 999)
    path = str(store.add_tree("tree", tmp_path / "source"))
    place, stop, missed = store.physical(path), threading.Event(), []

    def watch():
        while not stop.is_set():
            if not place.exists():
                missed.append(path)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(20):
            damage(store, path + "/file")
            found = verify(store, repair=lambda _, aside: bool(shutil.copytree(tmp_path / "source", aside)))
            assert [one.repaired for one in found] == [True]
    finally:
        stop.set()
        watcher.join()

    assert missed == []
    assert verify(store) == ()
    assert os.listdir(store.temporary_directory) == []
