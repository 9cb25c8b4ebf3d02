"""Checks from the controller, of real servers, without holding up the loop."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from deployer.formats.manifest import Check
from deployer.formats.messages import CheckResult
from deployer.rollout.controller_checks import probe_once, red_now, turn_green


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port(name: str, number: int) -> Check:
    return Check(name, "tcp", port=number, interval=0.02, timeout=1.0)


async def test_each_result_is_told_and_is_marked_as_the_controllers(listener):
    told: list[CheckResult] = []
    checks = [port("open", listener.getsockname()[1]), port("shut", 1)]

    results = await turn_green(checks, 0.3, {"shut"}, told.append)

    assert [(one.name, one.healthy, one.was_red_before, one.from_controller) for one in results] == [
        ("open", True, False, True),
        ("shut", False, True, True),
    ]
    assert sorted(told, key=lambda one: one.name) == list(results)
    assert await red_now(checks) == {"shut"}


async def test_nothing_is_started_for_no_checks():
    before = threading.active_count()

    assert await turn_green((), 60.0, (), print) == ()
    assert await probe_once(()) == ()
    assert threading.active_count() == before


async def test_the_loop_goes_on_meanwhile_and_who_cancels_is_heard():
    probing = asyncio.create_task(turn_green([port("shut", 1)], 600.0, (), print))
    for _ in range(10):
        await asyncio.sleep(0.01)

    probing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await probing
    while any(thread.name.startswith("checks") for thread in threading.enumerate()):
        await asyncio.sleep(0.02)


async def test_many_hosts_are_probed_side_by_side(listener):
    address, checks = listener.getsockname()[1], []
    for _ in range(20):
        checks.append(Check("silent", "tcp", port=address, expect="hello", timeout=0.3))

    results = await asyncio.gather(*(probe_once([check]) for check in checks))

    assert ["said nothing" in one.message for (one,) in results] == [True] * 20
