"""Whatever the power is cut in, a host boots into the old generation or the new one, whole, and a store loses nothing.

A run takes a few moments by chance, and prints their seeds. `script/power` takes as many as asked.
"""

from __future__ import annotations

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from tests.power.cutting import STORE, WORKS, Cut, Start, uncut, wrong

SEED: Final = int(os.environ.get("DEPLOYER_TEST_POWER_SEED") or random.randrange(1 << 30))
CUTS: Final = int(os.environ.get("DEPLOYER_TEST_POWER_CUTS") or "2")
ONLY: Final = os.environ.get("DEPLOYER_TEST_POWER_WORK", "")
AT_ONCE: Final = int(os.environ.get("DEPLOYER_TEST_POWER_MACHINES") or "2")


def test_the_power_can_be_cut_at_any_moment(start: Start, tmp_path: Path) -> None:
    works = [ONLY] if ONLY else [random.Random(SEED).choice(WORKS[:-1]), STORE] if CUTS <= 2 else WORKS
    cuts = [Cut(works[number % len(works)], SEED + number) for number in range(CUTS)]
    expected = uncut(start, tmp_path / "uncut")
    say(f"seed {SEED}; nothing cut: {', '.join(f'{part} {seconds:.1f} s' for part, seconds in expected.lengths.items())}")
    failed: list[str] = []

    with ThreadPoolExecutor(AT_ONCE) as pool:
        began = time.monotonic()
        under_way = {pool.submit(wrong, cut, start, expected, tmp_path / str(cut.seed)): cut for cut in cuts}
        for ended in as_completed(under_way):
            found = ended.result()
            failed += [f"{under_way[ended]}: {line}" for line in found]
            say("\n    ".join([f"{time.monotonic() - began:.0f} s: {under_way[ended]}: {'WRONG' if found else 'whole'}", *found]))

    assert failed == []


def say(line: str) -> None:
    """At once, for who waits."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
