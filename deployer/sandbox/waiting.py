"""Waiting for descriptors and for the clock, in the event loop."""

from __future__ import annotations

import asyncio
from typing import Optional


async def readable(descriptor: int, until: Optional[float] = None) -> bool:
    """Wait until something can be read, or a process has ended; false where the loop's clock came first."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[bool] = loop.create_future()
    loop.add_reader(descriptor, _settle, seen, True)
    timer = None if until is None else loop.call_at(until, _settle, seen, False)
    try:
        return await seen
    finally:
        loop.remove_reader(descriptor)
        if timer is not None:
            timer.cancel()


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[bool] = loop.create_future()
    loop.add_writer(descriptor, _settle, seen, True)
    try:
        await seen
    finally:
        loop.remove_writer(descriptor)


def _settle(seen: asyncio.Future[bool], result: bool) -> None:
    if not seen.done():
        seen.set_result(result)
