"""Settings of builds, from what the options and the environment say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
    on_trouble: Callable[[DeployerError], None] = lambda _: None,
) -> BuildSettings:
    """How to build; `on_trouble` is told of caches that could not be used. Raises `KeyRefused`."""
    from deployer.build import BuildSettings

    settings = BuildSettings(
        keep_going=choices.keep_going,
        keep_failed=choices.keep_failed,
        check=check,
        place_of=place_of,
        substituters=[substituter(choices, on_trouble=on_trouble)] if choices.substituters else (),
    )
    return settings if choices.jobs is None else dataclasses.replace(settings, jobs=choices.jobs)


def substituter(
    choices: BuildChoices,
    *,
    check: bool = True,
    remember: bool = True,
    on_trouble: Callable[[DeployerError], None] = lambda _: None,
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
        on_trouble=on_trouble,
    )


def cache_memory() -> Path:
    """Where what remote caches answered is kept."""
    return home("XDG_CACHE_HOME", ".cache") / "deployer" / "caches.sqlite"
