"""Outputs of builds that end at the same time are registered together: the disk is waited for once, not once for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from deployer.store import Batch, Store


class Registrar:
    """Commits batches. Those that come while the disk is busy go together, when it is free."""

    def __init__(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """`in_thread` runs a function off the event loop."""
        self._in_thread = in_thread
        self._queue: list[tuple[Batch, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def commit(self, store: Store, batch: Batch) -> None:
        """Make what is in a batch valid. When this ends, also by cancellation, the batch is committed or empty."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((batch, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(store))
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            raise

    async def _work(self, store: Store) -> None:
        """Until nothing is left; everyone who asked waits for it, so it never outlives them."""
        while self._queue:
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


def _commit_all(store: Store, batches: list[Batch]) -> None:
    with store.batch() as together:
        for batch in batches:
            together.absorb(batch)
        together.commit()
