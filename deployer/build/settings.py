"""How `realise` goes about its work. Nothing here changes what is built."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deployer.build.engine import Engine
from deployer.build.limits import FetchLimits, Limits
from deployer.build.substitution import Substituter
from deployer.errors import Place


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How much at once, for how long, and from where."""

    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Builds at the same time."""
    downloads: int = 8
    """Downloads at the same time."""
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    """What a build is told that it may use (NIX_BUILD_CORES)."""
    keep_going: bool = False
    """After a failure, still build what does not need what failed."""
    check: bool = False
    """Build what is valid already again, and compare: `NothingToCheck`, `OutputsDiffer`."""
    keep_failed: bool = False
    """Keep the build directory of a build that failed; the error says where."""
    timeout: float = 3600.0
    """Seconds that one build may take."""
    silence_timeout: float = 1800.0
    """Seconds that one build may print nothing."""
    log_limit: int = 64 << 20
    """Bytes that one build may print."""
    fetch_limits: FetchLimits = field(default_factory=FetchLimits)
    unpack_limits: Limits = field(default_factory=Limits)
    mirrors: Mapping[str, Sequence[str]] | None = None
    """For `mirror://NAME/…`: the URLs of each NAME. None: this machine's (`deployer.packages.mirrors`), found when needed."""
    vendor: Sequence[str] | None = None
    """URLs of vendor directories: where there are any, nothing is fetched from elsewhere. None: this machine's."""
    place_of: Callable[[str], Place | None] | None = None
    """Where the hash of a fixed output is pinned, for error messages: `PackageSet.place_of`."""
    engines: Sequence[Engine] = ()
    """What else builds, wherever it can: the first that can, and has a slot free. What none of them can is built here."""
    substituters: Sequence[Substituter] = ()
    """Binary caches, asked in this order before anything is built."""
