"""Paths come in whole, or not at all, and never anywhere else."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from deployer.formats import StorePathRefused
from deployer.formats.pathstream import PathHeader
from deployer.store import FileRefused, PathCorrupt, PathInfo, ReferenceInvalid, Store, StoreUnusable, verify

PATH = "/nix/store/" + "1" * 32 + "-path"
OTHER = "/nix/store/" + "2" * 32 + "-other"


def nothing_is_left(store):
    return not list(store.layout.aside.glob("*")) and store.database.all_paths() == ()


def test_a_path_of_a_stream_is_valid_and_has_a_stores_metadata(store, nar):
    archive = nar(b"content", executable=True)

    with store.batch() as batch:
        batch.unpack(archive.header(PATH), archive.read)
        assert not store.is_valid(PATH)
        batch.commit()

    status = store.physical(PATH).lstat()
    assert store.is_valid(PATH)
    assert stat.S_IMODE(status.st_mode) == 0o555
    assert status.st_mtime == 1
    assert verify(store) == ()


def test_a_path_that_is_not_committed_leaves_nothing(store, nar):
    archive = nar(b"content")

    with store.batch() as batch:
        batch.unpack(archive.header(PATH), archive.read)

    assert nothing_is_left(store)


@pytest.mark.parametrize("path", ["/nix/store/../../../evil", "/etc/passwd", "/nix/store", PATH + "/below"])
def test_a_header_can_not_name_a_place_outside_the_store(store, nar, tmp_path, path):
    archive = nar(b"evil")

    with store.batch() as batch, pytest.raises(StorePathRefused):
        batch.unpack(archive.header(path), archive.read)

    assert nothing_is_left(store)
    assert not (tmp_path / "evil").exists()


def test_a_stream_that_ends_too_early_leaves_nothing(store, nar):
    archive = nar(b"content" * 1000)
    archive.bytes = archive.bytes[:3000]

    with store.batch() as batch, pytest.raises(EOFError):
        batch.unpack(archive.header(PATH), archive.read)

    assert nothing_is_left(store)


def test_an_archive_longer_than_announced_is_cut_off_before_it_fills_the_disk(store, nar):
    archive = nar(b"x" * (8 << 20))
    header = PathHeader(PATH, archive.header(PATH).nar_hash, 1000)

    with store.batch() as batch, pytest.raises(PathCorrupt):
        batch.unpack(header, archive.read)

    assert archive._stream.tell() < 1 << 20
    assert nothing_is_left(store)


def test_an_archive_with_another_hash_is_refused(store, nar):
    archive = nar(b"content")

    with store.batch() as batch, pytest.raises(PathCorrupt):
        batch.unpack(PathHeader(PATH, "sha256:" + "0" * 52, len(archive.bytes)), archive.read)

    assert nothing_is_left(store)


def test_a_path_whose_reference_is_missing_takes_the_whole_batch_with_it(store, nar):
    good, bad = nar(b"good"), nar(b"bad")

    with store.batch() as batch:
        batch.unpack(good.header(OTHER), good.read)
        batch.unpack(bad.header(PATH, ["/nix/store/" + "3" * 32 + "-missing"]), bad.read)
        with pytest.raises(ReferenceInvalid):
            batch.commit()

    assert nothing_is_left(store)


def test_a_registration_never_drops_a_reference(store):
    info = PathInfo(PATH, "sha256:" + "0" * 52, 1, ("/nix/store/" + "3" * 32 + "-missing",))

    with pytest.raises(StoreUnusable):
        store.database.register([info])

    assert not store.is_valid(PATH)


def test_references_within_a_batch_may_come_in_any_order_and_go_in_circles(store, nar):
    one, two = nar(b"one"), nar(b"two")

    with store.batch() as batch:
        batch.unpack(one.header(PATH, [OTHER, PATH]), one.read)
        batch.unpack(two.header(OTHER, [PATH]), two.read)
        batch.commit()

    assert {str(path) for path in store.closure([PATH])} == {PATH, OTHER}
    assert store.referrers(OTHER) == (PATH,)


def test_a_file_that_is_held_is_linked_instead_of_sent(store, nar):
    content = b"shared" * 2000
    first = store.add_text("first", content)
    (name,) = store.file_hashes([first])
    archive = nar(content, held=name)

    assert store.held_files([name, "0" * 52]) == {name}
    with store.batch() as batch:
        batch.unpack(archive.header(PATH), archive.read)
        batch.commit()

    assert store.physical(PATH).samefile(store.physical(first))
    assert verify(store) == ()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_of_a_path_that_came_before_is_linked_instead_of_sent(store, nar, committed, linked):
    content = b"shared" * 2000
    earlier = nar(content)
    (name,) = store.file_hashes([store.add_text("elsewhere", content)])
    store = Store(store.root.with_name("other"))

    with store.batch() as batch:
        batch.unpack(earlier.header(OTHER), earlier.read)
        if not linked:
            store.layout.links.rmdir()
        if committed:
            batch.commit()
        later = nar(content, held=name)
        batch.unpack(later.header(PATH), later.read)
        batch.commit()

    assert store.physical(PATH).samefile(store.physical(OTHER))
    assert verify(store) == ()


def test_a_held_file_can_not_be_named_as_a_program_when_it_is_none(store, nar):
    content = b"shared" * 2000
    (name,) = store.file_hashes([store.add_text("first", content)])
    archive = nar(content, held=name, executable=True)

    with store.batch() as batch, pytest.raises(FileRefused):
        batch.unpack(archive.header(PATH), archive.read)

    assert not store.is_valid(PATH)


@pytest.mark.parametrize("name", ["0" * 52, "../../../../../etc/passwd", ".."])
def test_a_held_file_that_is_not_held_is_refused(store, nar, name):
    archive = nar(b"content", held=name)

    with store.batch() as batch, pytest.raises(PathCorrupt):
        batch.unpack(archive.header(PATH), archive.read)

    assert not store.is_valid(PATH)


def test_equal_files_are_linked_also_within_one_path(store, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(b"equal" * 1000)
    (source / "program").write_bytes(b"equal" * 1000)
    (source / "program").chmod(0o755)

    place = store.physical(store.add_tree("tree", source))

    assert (place / "a").samefile(place / "b")
    assert not (place / "a").samefile(place / "program")
    assert verify(store) == ()


def test_what_a_crash_left_at_a_path_is_replaced(store, nar):
    archive = nar(b"content")
    store.layout.make()
    store.physical(PATH).mkdir(parents=True)

    with store.batch() as batch:
        batch.unpack(archive.header(PATH), archive.read)
        batch.commit()

    assert store.physical(PATH).read_bytes() == b"content"


def test_many_threads_and_stores_add_at_once(tmp_path):
    stores = [Store(tmp_path / "root") for _ in range(3)]
    failed = []

    def work(store):
        try:
            for number in range(15):
                store.add_text(f"t{number}", b"same" * number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(stores[0].database.all_paths()) == 15
    assert verify(stores[0]) == ()


def test_a_fifo_has_no_place_in_a_store(store, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "pipe")

    with pytest.raises(FileRefused):
        store.add_tree("tree", source)

    assert nothing_is_left(store)


def test_setuid_bits_and_times_do_not_reach_the_store(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"program")
    source.chmod(0o6751)

    place = store.physical(store.add_tree("program", source))

    assert stat.S_IMODE(place.stat().st_mode) == 0o555
