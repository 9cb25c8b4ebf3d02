"""Outputs of builds that end at about the same time are registered together: the disk is waited for once, not once for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from deployer.store import Batch, Store

_PATIENCE: Final = 0.1
"""Seconds that what no one waits for stays unregistered, while there are builds that may end meanwhile. It is all that a crash
of this machine can cost more than the builds that ran."""


class Registrar:
    """Commits batches. Those that come while the disk is busy go together, when it is free."""

    def __init__(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """`in_thread` runs a function off the event loop."""
        self._in_thread = in_thread
        self._queue: list[tuple[Batch, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._building = 0
        self._hurry = asyncio.Event()

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Around a build, up to its batch: while there is one, others wait a moment for it."""
        self._building += 1
        try:
            yield
        finally:
            self._building -= 1
            if not self._building:
                self._hurry.set()

    async def commit(self, store: Store, batch: Batch, *, at_once: bool) -> None:
        """Make what is in a batch valid. When this ends, also by cancellation, the batch is committed or empty.

        `at_once`: something can't begin before, so nothing is waited for.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((batch, done))
        if at_once:
            self._hurry.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(store))
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            self._hurry.set()
            await asyncio.wait([done])
            raise

    async def _work(self, store: Store) -> None:
        """Until nothing is left; everyone who asked waits for it, so it never outlives them."""
        while self._queue:
            await self._wait_for_others()
            group, self._queue = self._queue, []
            try:
                await self._in_thread(_commit_all, store, [batch for batch, _ in group])
            except Exception as error:
                for _, done in group:
                    done.set_exception(error)
            else:
                for _, done in group:
                    done.set_result(None)
        self._worker = None

    async def _wait_for_others(self) -> None:
        if self._building:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._hurry.wait()
        self._hurry.clear()


def _commit_all(store: Store, batches: list[Batch]) -> None:
    with store.batch() as together:
        for batch in batches:
            together.absorb(batch)
        together.commit()
