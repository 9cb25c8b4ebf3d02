"""A controller gives no host up before the host has given up itself."""

from __future__ import annotations

import pytest

from deployer.formats.limits import Limits
from deployer.formats.manifest import CONFIRM_AGAIN, Check, Manifest, Timing, Unit
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
