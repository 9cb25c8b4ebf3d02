"""Locking against the mirror that this machine uses."""

import os
import shutil

import pytest

from deployer.packages.errors import PackageInvalid
from deployer.packages.locking import Locking, lock_packages

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")]


async def test_a_lock_pins_the_closure_and_leaves_the_machine_alone(tmp_path):
    packages = tmp_path / "packages.yaml"
    packages.write_text("tool: {kind: debian, suite: bookworm, packages: [sed]}")
    before = sorted(os.listdir("/var/lib/apt/lists"))

    lock = (await lock_packages(packages)).lock

    assert {"sed", "libc6"} <= {deb.name for deb in lock.debian["tool"].debs}
    assert await lock_packages(packages) == Locking(lock, ())
    assert "://" not in (tmp_path / "deployer.lock").read_text()
    assert sorted(os.listdir("/var/lib/apt/lists")) == before


async def test_a_package_that_is_not_there_is_told_with_its_place(tmp_path):
    packages = tmp_path / "packages.yaml"
    packages.write_text("\ntool: {kind: debian, suite: bookworm, packages: [no-such-package]}")

    with pytest.raises(PackageInvalid, match="no-such-package") as caught:
        await lock_packages(packages)

    assert str(caught.value.place).endswith("packages.yaml:2:1")
