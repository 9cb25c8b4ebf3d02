"""The dead-man's switch on real hosts, with one part of it after the other taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Timing
from tests.lab.test_activation import LISTING, TWO, Controller, web

BRIEF = Timing(unit_timeout=1, check_deadline=1, confirm_timeout=1)
OURS = "systemctl list-units --all --plain --no-legend 'deployer-*'"


@pytest.fixture
def controllers(machines: Any, fresh_hosts: Any, tmp_path: Path) -> list[Controller]:
    """Two, of a host each."""
    hosts = fresh_hosts(2)
    places = [tmp_path / host.name for host in hosts]
    for place in places:
        place.mkdir()
    return [Controller(place, machines.lab.ssh_config, host) for place, host in zip(places, hosts, strict=True)]


def test_a_frozen_service_is_undone_by_the_timer_or_by_the_sentinel_whichever_is_left(controllers: list[Controller]) -> None:
    """Both at once: each waits for the whole time that an activation may take."""
    cuts = ("kill -9 $(systemctl show -P MainPID deployer-sentinel.service)", "systemctl stop deployer-deadman.timer")
    before = []
    for controller, cut in zip(controllers, cuts, strict=True):
        one, two = web(controller, "one"), web(controller, "two", TWO, timing=BRIEF)
        controller.deploy(one, "")
        before.append((one, controller.run(LISTING)))
        assert controller.activate(two, one)["state"] == "healthy"
        controller.run(f"systemctl kill -s STOP deployer-activation.service; {cut}")
        controller.run("systemctl daemon-reload; systemctl daemon-reexec")
    left = [controller.run(OURS) for controller in controllers]
    assert ["deployer-deadman.timer" in units for units in left] == [True, False]
    assert ["deployer-sentinel.service" in units for units in left] == [False, True]

    for controller, (one, etc) in zip(controllers, before, strict=True):
        assert f"settled 1 {one}" in controller.wait_for("settled", 130)
        assert controller.run(LISTING) == etc
        controller.wait_until_empty(OURS)
