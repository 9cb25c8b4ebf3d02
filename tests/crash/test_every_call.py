"""Killed, or failed, at every system call that changes the disk, the host ends in the old generation or the new one, whole.

A run takes some points by chance, and prints the seed. `script/crash` takes all.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Final

from tests.crash.cutting import AFTER, BEFORE, BY_BOOT, Cutter, Point
from tests.crash.works import Ward

SEED: Final = int(os.environ.get("DEPLOYER_TEST_CRASH_SEED") or random.randrange(1 << 30))
POINTS: Final = int(os.environ.get("DEPLOYER_TEST_CRASHES") or "0")
"""Of each piece of work; 0: a few, of a few pieces."""
ONLY: Final = os.environ.get("DEPLOYER_TEST_CRASH_WORK", "")
_BOOTS: Final = 2


def test_work_that_is_cut_off_at_any_call_ends_old_or_new_and_whole(ward: Ward) -> None:
    dice = random.Random(SEED)
    works = ward.works()
    names = [ONLY] if ONLY else [*works] if POINTS else ["change", *dice.sample([name for name in works if name != "change"], 2)]
    wrong: list[str] = []

    for name in names:
        cutter = Cutter(ward.patient, works[name]())
        points = cutter.points()
        tried = dice.sample(points, min(POINTS, len(points))) or _few(points, dice)
        wrong += _try(cutter, tried)
        _say(f"seed {SEED}: {name}: {len(cutter.calls)} calls, {_counted(points)}; tried: {_counted(tried)}")

    assert wrong == []


def test_a_host_that_crashes_in_a_change_boots_into_old_or_new(ward: Ward) -> None:
    cutter = Cutter(ward.patient, ward.change())
    kills = [point for point in cutter.points(BY_BOOT) if point.fault in (BEFORE, AFTER)]
    tried = random.Random(SEED).sample(kills, min(POINTS or _BOOTS, len(kills)))

    wrong = _try(cutter, tried)

    _say(f"seed {SEED}: crashes in a change: {len(kills)} points, {len(tried)} tried")
    assert wrong == []


def _counted(points: list[Point]) -> str:
    return f"{len(points)} points, {sum(point.fault in (BEFORE, AFTER) for point in points)} of them kills"


def _few(points: list[Point], dice: random.Random) -> list[Point]:
    """Two kills and an error."""
    kills = [point for point in points if point.fault in (BEFORE, AFTER)]
    return [*dice.sample(kills, 2), dice.choice([point for point in points if point not in kills])]


def _try(cutter: Cutter, points: list[Point]) -> list[str]:
    wrong: list[str] = []
    for point in points:
        found = cutter.wrong(point)
        if found:
            wrong += [str(point), *(f"    {line}" for line in found)]
            _say("\n".join(wrong[-len(found) - 1 :]))
    return wrong


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
