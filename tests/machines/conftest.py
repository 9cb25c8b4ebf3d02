"""Virtual machines for tests of what the kernel of a host decides. They take minutes: `script/machines` runs them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machines.image import ensure_image
from tests.machines.virtual_machine import VirtualMachine

HERE = Path(__file__).parent
collect_ignore_glob = [] if os.environ.get("DEPLOYER_TEST_MACHINES") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this directory, and keep it on one worker: one machine is enough for this machine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.xdist_group("machines"))


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., VirtualMachine]]:
    """Makes a machine of a base's variant, with options for its kernel, and switches it on; off again when its tests are over."""
    machines: list[VirtualMachine] = []

    def make(variant: str, options: str, architecture: str = "") -> VirtualMachine:
        image = asyncio.run(ensure_image(variant, architecture))
        for machine in machines:
            machine.cut()  # one at a time
        machines.append(VirtualMachine(tmp_path_factory.mktemp("machine") / "machine", image, options=options))
        machines[-1].boot()
        return machines[-1]

    yield make
    for machine in machines:
        machine.remove()
