"""A machine that was deployed to, and saved: every cut starts from it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deployer.lab import missing_needs
from tests.machines.image import Image, ensure_image
from tests.power.cutting import Start, prepare
from tests.power.kinds import Kind, VirtualMachines
from tests.power.lab_machine import LabMachines

LAB_HOST: Final = "lab-host"
KINDS: Final[dict[str, Callable[[Image], Kind]]] = {LAB_HOST: LabMachines, "virtual-machine": VirtualMachines}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this directory, and keep it on one worker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.xdist_group("power"))


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Made once: it takes longer than a cut."""
    if missing := missing_needs():
        reason = f"this needs virtual machines, and {missing[0].message}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    kind = KINDS[os.environ.get("DEPLOYER_TEST_POWER_KIND") or LAB_HOST]
    return prepare(kind(asyncio.run(ensure_image())), tmp_path_factory.mktemp("power"))
