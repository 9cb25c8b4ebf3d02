"""Which generations stay."""

from __future__ import annotations

import dataclasses

import pytest

from deployer.formats.manifest import Retention
from deployer.host.retention import Known, needed_generations, reasons_to_keep

DAY = 86400.0
NOW = 100 * DAY
NINE = Known(
    systems={number: f"/nix/store/{number}" for number in range(1, 10)},
    made={number: number * 10 * DAY for number in range(1, 10)},
    current=9,
    booted=9,
    good="/nix/store/9",
)


def kept(known: Known, policy: Retention) -> list[int]:
    return [number for number, reasons in reasons_to_keep(known, policy, NOW).items() if reasons]


@pytest.mark.parametrize(
    ("known", "policy", "expected"),
    [
        (NINE, Retention(3), [7, 8, 9]),
        (NINE, Retention(1), [9]),
        (NINE, Retention(0), [9]),
        (NINE, Retention(10), list(range(1, 10))),
        (dataclasses.replace(NINE, current=4), Retention(1), [4, 9]),
        (dataclasses.replace(NINE, booted=3), Retention(1), [3, 9]),
        (dataclasses.replace(NINE, good="/nix/store/5"), Retention(1), [5, 9]),
        (dataclasses.replace(NINE, recorded=frozenset({0, 6})), Retention(1), [6, 9]),
        (dataclasses.replace(NINE, next_boot=2), Retention(1), [2, 9]),
        (dataclasses.replace(NINE, pinned=frozenset({1, 44})), Retention(1), [1, 9]),
    ],
)
def test_the_newest_stay_and_whatever_the_host_needs(known: Known, policy: Retention, expected: list[int]) -> None:
    assert kept(known, policy) == expected


def test_what_was_in_use_lately_stays_until_its_successor_is_old_too() -> None:
    # Generation 7 was made 30 days ago and was in use until generation 8 was made, 20 days ago.
    assert kept(NINE, Retention(1, 19 * DAY)) == [8, 9]
    assert kept(NINE, Retention(1, 21 * DAY)) == [7, 8, 9]


def test_the_system_that_was_last_confirmed_stays_once_though_older_generations_have_it_too() -> None:
    twice = dataclasses.replace(NINE, systems={**NINE.systems, 2: "/nix/store/8"}, good="/nix/store/8", current=8)

    assert kept(twice, Retention(1)) == [8, 9]


def test_each_reason_is_told() -> None:
    known = dataclasses.replace(NINE, pinned=frozenset({9}))

    assert needed_generations(known) == {9: ("current", "booted", "last confirmed", "pinned")}
    assert reasons_to_keep(known, Retention(2), NOW)[8] == ("one of the newest 2",)


def test_a_host_without_generations_keeps_none() -> None:
    assert reasons_to_keep(Known({}, {}), Retention(), NOW) == {}
