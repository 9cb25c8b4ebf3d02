"""Settings of builds, from what the options and the environment say."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployer.cli.settings import BuildChoices, home
from deployer.errors import DeployerError, Place

if TYPE_CHECKING:
    from deployer.build import BuildSettings
    from deployer.cache.caches import Caches


def build_settings(
    choices: BuildChoices,
    *,
    place_of: Callable[[str], Place | None] | None = None,
    check: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> BuildSettings:
    """How to build; `say` tells a person of caches that could not be used. Raises `KeyRefused`."""
    from deployer.build import BuildSettings
    from deployer.packages.mirrors import vendor_url

    settings = BuildSettings(
        keep_going=choices.keep_going,
        keep_failed=choices.keep_failed,
        check=check,
        place_of=place_of,
        vendor=tuple(map(vendor_url, choices.vendor)) or None,
        substituters=[substituter(choices, say=say)] if choices.substituters else (),
    )
    given = {
        "jobs": choices.jobs,
        "timeout": choices.timeout,
        "silence_timeout": choices.silence_timeout,
        "log_limit": choices.log_limit,
    }
    if choices.builders:
        from deployer.build.engines import open_engine
        from deployer.cli.ssh_builders import reach

        settings = dataclasses.replace(settings, engines=[open_engine(url, reach=reach) for url in choices.builders])
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(settings, **said)


def substituter(
    choices: BuildChoices,
    *,
    check: bool = True,
    remember: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Caches:
    """The binary caches as one.

    With `check=False` nobody needs to have signed what they have. With `remember`, what they answer is kept for other commands.
    """
    from deployer.cache import open_caches
    from deployer.cli.ssh_stores import ssh_openers

    return open_caches(
        choices.substituters,
        trusted_keys=choices.trusted_keys,
        threshold=choices.signatures,
        check=check,
        memory=cache_memory() if remember else None,
        openers=ssh_openers(),
        on_trouble=_once(say),
    )


def _once(say: Callable[[str], None]) -> Callable[[DeployerError], None]:
    """Say the same no more than once."""
    said: set[str] = set()

    def tell(error: DeployerError) -> None:
        if error.message not in said:
            said.add(error.message)
            say(f"warning: {error.message}")

    return tell


@contextlib.contextmanager
def closing_caches(settings: BuildSettings) -> Iterator[BuildSettings]:
    """Let go of the caches' connections at the end."""
    try:
        yield settings
    finally:
        for cache in settings.substituters:
            if callable(close := getattr(cache, "close", None)):
                close()


def cache_memory() -> Path:
    """Where what remote caches answered is kept."""
    return home("XDG_CACHE_HOME", ".cache") / "deployer" / "caches.sqlite"
