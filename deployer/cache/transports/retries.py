"""Trying again what may pass: the network's edge, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from deployer.cache.errors import CacheUnusable

ATTEMPTS: Final = 5
_LONGEST: Final = 5.0
"""Seconds between two attempts."""
_Result = TypeVar("_Result")


class Again(Exception):
    """A trouble that may pass."""


def patiently(url: str, function: Callable[[], _Result]) -> _Result:
    """Call, and call again after `Again`, a little later each time. Raises `CacheUnusable` in the end."""
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Again),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=_LONGEST, jitter=0.2),
        reraise=True,
    )
    try:
        return retrying(function)
    except Again as error:
        raise CacheUnusable(url, str(error)) from None
