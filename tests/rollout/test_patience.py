"""A controller gives no host up before the host has given up itself."""

from __future__ import annotations

import dataclasses

import pytest

from deployer.formats.limits import Limits
from deployer.formats.manifest import CONFIRM_AGAIN, Check, Manifest, Timing, Unit
from deployer.host.systemd import RELOAD, RELOAD_FOR_USERS
from deployer.rollout.patience import patience

MANIFESTS = [
    Manifest(),
    Manifest(timing=Timing(unit_timeout=900)),
    Manifest(timing=Timing(unit_timeout=300), user_units=(Unit("sync.service"),)),
    Manifest(checks=(Check("slow", "command", timeout=120),)),
]


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_it_outlasts_the_dead_mans_switch_and_the_way_back(manifest: Manifest) -> None:
    limits = Limits.of(manifest)

    assert patience(manifest) > limits.total + limits.switching


def test_it_outlasts_reboots_and_what_comes_after_them() -> None:
    manifest = Manifest(timing=Timing(boot_timeout=1000, on_reboot=CONFIRM_AGAIN))
    limits = Limits.of(manifest)

    assert patience(manifest) > limits.total + limits.total_again + limits.switching
    assert patience(manifest, reboot=True) > limits.total + 2 * limits.total_again + limits.booting + limits.switching


def test_a_switch_may_take_its_jobs_and_the_reading_of_unit_files() -> None:
    """systemd is given so long each time: before services stop, once more where that was in vain, and when all has changed."""
    manifest = Manifest(timing=Timing(unit_timeout=10))
    of_users = dataclasses.replace(manifest, user_units=(Unit("sync.service"),))

    assert Limits.of(manifest).switching >= 4 * 10 + 3 * RELOAD
    assert Limits.of(of_users).switching >= 8 * 10 + 3 * RELOAD + RELOAD_FOR_USERS


def test_what_is_stopped_has_the_time_that_its_own_generation_gives_it() -> None:
    slow, quick = (Manifest(timing=Timing(unit_timeout=seconds), units=(Unit("web.service"),)) for seconds in (900, 10))

    assert Limits.of(quick, slow).switching >= 4 * 900
    assert Limits.of(quick, Manifest(timing=Timing(unit_timeout=900))) == Limits.of(quick)
