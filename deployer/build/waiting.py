"""What builds wait for: others that build the same, in this process or in others, and what must not be broken off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from deployer.formats import StorePath
from deployer.store import Store
from deployer.store.locks import try_lock

_FIRST_WAIT: Final = 0.01
_LONGEST_WAIT: Final = 0.5
"""Seconds between two looks at a lock that another holds."""
_Result = TypeVar("_Result")


async def to_its_end(work: Awaitable[_Result]) -> _Result:
    """Wait for it, and where we are called off meanwhile, be called off only when it has ended; it may fail then as it likes."""
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise


@contextlib.asynccontextmanager
async def holding(store: Store, paths: Iterable[StorePath], *, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Hold paths that are about to be made (as `Store.lock_paths`). `on_wait` is told once where others hold one."""
    store.database  # noqa: B018 - makes the directories
    waits = False
    with contextlib.ExitStack() as held:
        # In order of name, so that two never wait for each other.
        for name in sorted({path.base_name for path in paths}):
            pause = _FIRST_WAIT
            while (release := try_lock(store.layout.locks / f"{name}.lock")) is None:
                if not waits:
                    waits = True
                    on_wait()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_WAIT)
            held.callback(release)
        yield
