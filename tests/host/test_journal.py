"""The two slots."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from deployer.formats.messages import ARMED, PREPARED, SWITCHING
from deployer.host.disk import Disk
from deployer.host.journal import SLOT_SIZE, Journal, JournalDamaged
from deployer.host.ledger import Metadata
from deployer.host.paths import JOURNAL, STATE_DIRECTORY
from deployer.host.transaction import Record

FIRST = Record(state=PREPARED, transaction="1" * 32, previous="/nix/store/old", next="/nix/store/new")
SECOND = dataclasses.replace(FIRST, state=ARMED)
THIRD = dataclasses.replace(FIRST, state=SWITCHING)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "var/lib").mkdir(parents=True)
    disk = Disk(tmp_path)
    disk.make_directory(STATE_DIRECTORY, Metadata(0o700, 0, 0))
    return disk


@pytest.fixture
def journal(disk: Disk) -> Journal:
    journal = Journal(disk)
    journal.create()
    return journal


def test_the_newest_record_is_read(journal: Journal) -> None:
    assert journal.read() == Record()
    for record in (FIRST, SECOND, THIRD):
        journal.write(record)

        assert journal.read() == record


def test_a_host_without_a_journal_has_an_empty_record(disk: Disk) -> None:
    assert Journal(disk).read() == Record()


@pytest.mark.parametrize("torn_at", [0, 1, 4, 12, 16, 20, 100, 250])
def test_a_torn_write_leaves_the_record_before_it(journal: Journal, tmp_path: Path, torn_at: int) -> None:
    path = tmp_path / JOURNAL.lstrip("/")
    journal.write(FIRST)
    journal.write(SECOND)
    before = path.read_bytes()
    journal.write(THIRD)
    after = path.read_bytes()

    slot = next(at for at in (0, SLOT_SIZE) if before[at : at + SLOT_SIZE] != after[at : at + SLOT_SIZE])
    torn = bytearray(before)
    torn[slot : slot + torn_at] = after[slot : slot + torn_at]
    path.write_bytes(bytes(torn))

    expected = SECOND if bytes(torn[slot : slot + SLOT_SIZE]) != after[slot : slot + SLOT_SIZE] else THIRD
    assert journal.read() == expected


def test_two_damaged_slots_are_told(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / JOURNAL.lstrip("/")).write_bytes(os.urandom(2 * SLOT_SIZE))

    with pytest.raises(JournalDamaged):
        journal.read()


def test_the_longest_record_in_the_widest_script_fits(journal: Journal) -> None:
    path = "/nix/store/" + "x" * 243
    widest = dataclasses.replace(
        FIRST, previous=path, next=path, reason="𝕏" * 300 + " | while rolling back: " + "𝕏" * 300, controller="é" * 200
    )

    journal.write(widest)

    assert journal.read() == widest
