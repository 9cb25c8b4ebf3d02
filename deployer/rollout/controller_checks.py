"""Checks from the controller: part of a host's gate, after its own are green and before it is confirmed.

They come from the configuration that was evaluated here, never from a host: a host could have the controller run programs and
ask addresses of its choice. The code that probes is that of hosts, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deployer.formats.manifest import Check, Timing
from deployer.formats.messages import CheckResult

_T = TypeVar("_T")


async def red_now(checks: Sequence[Check]) -> frozenset[str]:
    """Names of the checks that are red before anything changes."""
    return frozenset(result.name for result in await probe_once(checks) if not result.healthy)


async def probe_once(checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    """One attempt of each."""
    return await turn_green(checks, 0.0, (), lambda result: None)


async def turn_green(
    checks: Sequence[Check], seconds: float, red_before: Collection[str], report: Callable[[CheckResult], object]
) -> tuple[CheckResult, ...]:
    """Probe until all are green or the time is over; 0 seconds: one attempt each. `report` gets each result as it is known.

    Cancellation stops the probing.
    """
    if not checks:
        return ()
    from deployer.host.checks import Baseline, run_checks

    loop = asyncio.get_running_loop()

    def tell(result: CheckResult) -> None:
        loop.call_soon_threadsafe(report, _ours(result))

    def work(should_stop: Callable[[], bool]) -> tuple[CheckResult, ...]:
        timing = Timing(check_deadline=seconds, min_healthy_time=0.0)
        baseline = Baseline(frozenset(red_before))
        return run_checks(checks, timing, report=tell, should_stop=should_stop, baseline=baseline)

    return tuple(_ours(result) for result in await _in_thread(work))


async def _in_thread(work: Callable[[Callable[[], bool]], _T]) -> _T:
    """In a thread that no other work of the loop's waits for, and that is told to stop when nobody waits for it."""
    stopped = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="checks")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, stopped.is_set)
    finally:
        stopped.set()
        pool.shutdown(wait=False)


def _ours(result: CheckResult) -> CheckResult:
    return dataclasses.replace(result, from_controller=True)
