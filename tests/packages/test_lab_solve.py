"""Locking against the mirror that this machine uses."""

import os
import shutil

import pytest

from deployer.packages.debian.updates import find_updates
from deployer.packages.errors import PackageInvalid
from deployer.packages.locking import Locking, lock_packages
from deployer.packages.mirrors import find_mirrors
from tests.packages.conftest import without_apt

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


SETS = (
    "nginx-light",
    "postgresql",
    "python3",
    "gcc libc6-dev",
    "nodejs",
    "openssh-server",
    "default-mta",
    "apache2 libapache2-mod-php",
)


async def test_a_machine_without_apt_locks_the_same(tmp_path, monkeypatch):
    packages = tmp_path / "packages.yaml"
    suites = "[bookworm, bookworm-security]"
    sets = (f"{name.split()[0]}: {{kind: debian, suite: {suites}, packages: [{name.replace(' ', ', ')}]}}\n" for name in SETS)
    packages.write_text("".join(sets))
    by_apt = (await lock_packages(packages)).lock

    without_apt(tmp_path / "programs", monkeypatch)

    assert await lock_packages(packages) == Locking(by_apt, ())
    updates = await find_updates({"nginx": by_apt.debian["nginx-light"]}, find_mirrors())
    assert updates == {"nginx": ()}


async def test_a_package_that_is_not_there_is_told_with_its_place(tmp_path):
    packages = tmp_path / "packages.yaml"
    packages.write_text("\ntool: {kind: debian, suite: bookworm, packages: [no-such-package]}")

    with pytest.raises(PackageInvalid, match="no-such-package") as caught:
        await lock_packages(packages)

    assert str(caught.value.place).endswith("packages.yaml:2:1")
