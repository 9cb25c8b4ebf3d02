"""Directories of builds: which go on to the next build, and what that finds in them."""

import fcntl
import os
import stat
import struct

import pytest

from deployer.sandbox.scratch import ScratchDirectories, build_directory, clear, clear_places, scratch_store
from deployer.store import Store

NAME = "a" * 32 + "-input"
OTHER = "b" * 32 + "-other"
GET_FLAGS, SET_FLAGS, NO_DUMP = 0x80086601, 0x40086602, 0x40


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.database  # noqa: B018 - makes the directories
    return made


@pytest.fixture
def directories():
    return ScratchDirectories()


def names_in(directory):
    return sorted(os.listdir(directory))


def test_one_that_a_build_left_as_it_was_goes_to_the_next_build(store, directories):
    first = directories.take(store)
    (scratch_store(first) / NAME).mkdir()
    build_directory(first).chmod(0o777)
    os.utime(build_directory(first), (1, 1))

    assert directories.give_back(store, first, {NAME})
    assert directories.take(store) == first
    assert names_in(scratch_store(first)) == [NAME]
    assert stat.S_IMODE(os.stat(build_directory(first)).st_mode) == 0o700
    assert os.stat(build_directory(first)).st_mtime > 1


def test_no_two_builds_at_once_have_the_same(store, directories):
    first, second = directories.take(store), directories.take(store)

    assert first != second
    assert directories.give_back(store, first, set())
    assert directories.give_back(store, second, set())
    assert {directories.take(store), directories.take(store)} == {first, second}


def leave_file(scratch):
    (build_directory(scratch) / "left").write_text("")


def leave_output(scratch):
    (scratch_store(scratch) / OTHER).mkdir()


def leave_beside(scratch):
    (scratch / "output").write_text("")


def change_flag(scratch):
    descriptor = os.open(build_directory(scratch), os.O_RDONLY)
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, GET_FLAGS, bytes(4)))
        fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("i", flags | NO_DUMP))
    except OSError:
        pytest.skip("directories have no flags on this file system")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("leave", [leave_file, leave_output, leave_beside, change_flag])
def test_one_in_which_something_is_left_or_changed_is_not_used_again(store, directories, leave):
    scratch = directories.take(store)
    leave(scratch)

    assert not directories.give_back(store, scratch, {NAME})
    clear(scratch)
    assert directories.take(store) != scratch


def test_a_link_that_a_builder_could_have_replaced_does_not_stay(store, directories):
    scratch = directories.take(store)
    (scratch_store(scratch) / NAME).symlink_to("/etc/passwd")

    assert directories.give_back(store, scratch, {NAME})
    assert names_in(scratch_store(scratch)) == []


def test_places_of_inputs_go_that_the_next_build_does_not_see(store, directories):
    scratch = directories.take(store)
    for name in (NAME, OTHER):
        (scratch_store(scratch) / name).mkdir()
    (scratch_store(scratch) / "file").write_text("")

    clear_places(scratch, {NAME})

    assert names_in(scratch_store(scratch)) == [NAME]


def test_nothing_is_left_at_the_end(store, directories):
    scratches = [directories.take(store) for _ in range(3)]
    for scratch in scratches:
        (scratch_store(scratch) / NAME).mkdir()
        assert directories.give_back(store, scratch, {NAME})

    directories.close()

    assert names_in(store.temporary_directory) == []
