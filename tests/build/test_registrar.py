"""Which outputs are registered together, and which wait for no one."""

import asyncio
import os

import pytest

from deployer.build.registrar import Registrar
from deployer.store import PathInfo, Store
from deployer.store.trees import canonicalise, nar_hash

PATH = "/nix/store/{}-made"


class Desk:
    """A store, and a registrar whose trips to the disk are counted."""

    def __init__(self, root):
        self.store, self.trips, self._made = Store(root), 0, 0
        self.registrar = Registrar(self._in_thread)

    async def _in_thread(self, function, *arguments):
        self.trips += 1
        await asyncio.to_thread(function, *arguments)

    def batch(self):
        """One new path, ready to be registered."""
        batch = self.store.batch()
        self._made += 1
        aside = batch.place()
        with open(aside, "w", encoding="utf-8") as file:
            file.write(str(self._made))
        canonicalise(aside, owner=os.geteuid())
        digest, size = nar_hash(aside)
        batch.move(PathInfo(PATH.format(f"{self._made:032}"), f"sha256:{digest.hex()}", size), aside)
        return batch

    def commit(self, *, at_once=False):
        return asyncio.create_task(self.registrar.commit(self.store, self.batch(), at_once=at_once))


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


async def test_outputs_that_come_while_something_is_built_are_registered_together(desk):
    with desk.registrar.building():
        commits = [desk.commit() for _ in range(5)]
        await asyncio.gather(*commits)

    assert desk.trips == 1
    assert len(desk.store.database.all_paths()) == 5


async def test_the_last_build_takes_those_along_that_waited_for_it(desk):
    last = desk.batch()
    with desk.registrar.building():
        first = desk.commit()
        await asyncio.sleep(0)
    await desk.registrar.commit(desk.store, last, at_once=False)
    await first

    assert desk.trips == 1


async def test_what_something_waits_for_is_registered_at_once_and_takes_the_others_along(desk):
    with desk.registrar.building():
        other = desk.commit()
        await asyncio.sleep(0)
        await asyncio.gather(other, desk.commit(at_once=True))

    assert desk.trips == 1


async def test_one_that_is_called_off_is_registered_or_gone(desk):
    with desk.registrar.building():
        commit = desk.commit()
        await asyncio.sleep(0)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit

    assert desk.trips == 1
    assert len(desk.store.database.all_paths()) == 1
