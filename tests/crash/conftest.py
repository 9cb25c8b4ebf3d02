"""A lab of its own with one host, whose disk is in memory: it is brought back hundreds of times, and syncs at every step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployer.lab import LabHost, crash, down, down_orphans, missing_needs, start, up
from tests.crash.patient import Patient
from tests.crash.works import UNITS, Ward

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the host."""
    for item in items:
        if HERE in item.path.parents and "ward" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """The patient, with a first generation on it, and all that can be done to it."""
    if missing := missing_needs():
        reason = f"this needs real hosts, and {missing[0].message}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    name, directory = f"crash-{os.getpid()}", tmp_path_factory.mktemp("crash")
    with ThreadPoolExecutor(1) as outside:
        outside.submit(asyncio.run, down_orphans()).result()
        lab = outside.submit(asyncio.run, up(name, hosts=["patient"], owner=os.getpid(), in_memory=True)).result()
        host = lab.host("patient")
        patient = Patient(host, directory, units=UNITS, reboot=lambda: outside.submit(asyncio.run, reboot(host)).result())
        try:
            yield Ward(patient, directory)
        finally:
            patient.hang_up()
            outside.submit(asyncio.run, down(name)).result()


async def reboot(host: LabHost) -> None:
    """Kill it on the spot, and boot it."""
    await crash(host)
    await start(host)
