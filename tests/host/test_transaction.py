"""The pure machine: every order in which things can happen to a transaction, to a stated depth."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator

import pytest

from deployer.formats.messages import (
    ARMED,
    CHECKING,
    CONFIRMED,
    HEALTHY,
    PREPARED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    ROLLING_BACK,
    SWITCHING,
)
from deployer.host.transaction import (
    MAX_CUTS,
    MAX_ROLLBACK_ATTEMPTS,
    TABLE,
    TERMINAL,
    Event,
    Moment,
    Record,
    advance,
    is_overdue,
    refuse_confirmation,
)

DEPTH = 9
TOKEN = "secret"
BEGIN = Record(
    state=PREPARED,
    transaction="a" * 32,
    previous="/nix/store/old",
    previous_generation=1,
    next="/nix/store/new",
    next_generation=2,
    fresh=True,
    boot_id="boot",
    deadline=100.0,
    token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
)
STATES = [PREPARED, ARMED, SWITCHING, CHECKING, HEALTHY, CONFIRMED, ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED]


def histories(record: Record, depth: int, path: tuple[Record, ...] = ()) -> Iterator[tuple[Record, ...]]:
    """Every sequence of records that `depth` events can make; those that change nothing lead nowhere new."""
    path = (*path, record)
    if depth == 0:
        yield path
        return
    yield path
    for event in Event:
        following = advance(record, event, event.value)
        if following != record:
            yield from histories(following, depth - 1, path)


def test_no_order_of_events_reaches_confirmed_but_through_healthy() -> None:
    for history in histories(BEGIN, DEPTH):
        for before, after in itertools.pairwise(history):
            if after.state == CONFIRMED:
                assert before.state == HEALTHY


def test_no_order_of_events_leaves_confirmed_or_rolled_back_again() -> None:
    for history in histories(BEGIN, DEPTH):
        for record in history[:-1]:
            assert record.state not in (CONFIRMED, ROLLED_BACK)


def test_no_order_of_events_begins_more_rollbacks_than_allowed_without_a_person() -> None:
    for history in histories(BEGIN, DEPTH):
        for record in history:
            assert record.attempts <= MAX_ROLLBACK_ATTEMPTS


def test_a_rollback_that_is_cut_off_is_begun_again_without_being_counted_among_those_that_failed() -> None:
    record = dataclasses.replace(BEGIN, state=ROLLING_BACK, attempts=1)

    for _ in range(MAX_CUTS):
        record = advance(record, Event.REBOOT, "the power went")
        assert (record.state, record.attempts) == (ROLLING_BACK, 1)
    assert advance(record, Event.FAIL, "a unit hangs").state == ROLLING_BACK

    assert advance(record, Event.INTERRUPT, "killed").state == ROLLBACK_FAILED


def test_nothing_is_rolled_back_that_was_never_switched() -> None:
    for history in histories(BEGIN, DEPTH):
        states = [record.state for record in history]
        if ROLLING_BACK in states:
            assert SWITCHING in states[: states.index(ROLLING_BACK)]


def test_every_history_ends_in_a_terminal_state_once_its_drivers_die_often_enough() -> None:
    for history in histories(BEGIN, 5):
        record = history[-1]
        for _ in range(2 + MAX_CUTS):
            record = advance(record, Event.INTERRUPT, "killed")
        assert record.state in TERMINAL


def test_every_history_ends_in_the_old_or_the_new_system() -> None:
    for history in histories(BEGIN, DEPTH):
        record = history[-1]
        if record.is_terminal:
            expected = "/nix/store/new" if record.state == CONFIRMED else "/nix/store/old"
            assert record.system == expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", list(Event))
def test_an_event_that_the_table_does_not_name_changes_nothing(state: str, event: Event) -> None:
    record = dataclasses.replace(BEGIN, state=state)

    if (state, event) not in TABLE:
        assert advance(record, event, "whatever") == record


def test_the_first_reason_is_the_one_that_is_told() -> None:
    record = dataclasses.replace(BEGIN, state=CHECKING)

    record = advance(record, Event.FAIL, "the check is red")
    record = advance(record, Event.FAIL, "a unit hangs")

    assert record.reason == "the check is red | while rolling back: a unit hangs"


def test_a_reason_is_one_bounded_printable_line() -> None:
    record = advance(dataclasses.replace(BEGIN, state=CHECKING), Event.FAIL, "a\x1b[31m\n" + "é" * 5000)

    assert record.reason.isprintable()
    assert len(record.reason) <= 300


def test_a_confirmation_counts_only_when_healthy_in_time_on_the_same_boot_with_the_token() -> None:
    healthy = dataclasses.replace(BEGIN, state=HEALTHY)
    in_time = Moment(99.9, "boot")

    assert refuse_confirmation(healthy, "a" * 32, TOKEN, in_time) is None
    assert refuse_confirmation(healthy, "b" * 32, TOKEN, in_time)
    assert refuse_confirmation(healthy, "a" * 32, "guess", in_time)
    assert refuse_confirmation(healthy, "a" * 32, TOKEN, Moment(100.0, "boot"))
    assert refuse_confirmation(healthy, "a" * 32, TOKEN, Moment(1.0, "another boot"))
    for state in (PREPARED, ARMED, SWITCHING, CHECKING, ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED):
        assert refuse_confirmation(dataclasses.replace(BEGIN, state=state), "a" * 32, TOKEN, in_time)


def test_a_confirmation_whose_answer_was_lost_may_be_repeated() -> None:
    confirmed = dataclasses.replace(BEGIN, state=CONFIRMED)

    assert refuse_confirmation(confirmed, "a" * 32, TOKEN, Moment(1000.0, "another boot")) is None


def test_another_boot_counts_as_overdue() -> None:
    assert is_overdue(BEGIN, Moment(1.0, "another boot"))
    assert not is_overdue(BEGIN, Moment(1.0, "boot"))


def test_an_older_runtime_reads_the_record_of_a_newer_one() -> None:
    assert Record.from_document({**BEGIN.to_document(), "of_tomorrow": 1}) == BEGIN
