"""Derivations to outputs: scheduling, the sandbox, fetchers, archives, logs.

`realise` is the way in. Builders named `builtin:…` run in our process; everything else runs under bubblewrap and sees its input
closure and nothing else. What happens is told as events; what goes wrong, as the errors of `deployer.build.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployer.build.engine import Engine
    from deployer.build.realiser import realise
    from deployer.build.settings import BuildSettings

__all__ = ["BuildSettings", "Engine", "realise"]


def __getattr__(name: str) -> Any:
    """Import late: most commands build nothing."""
    if name == "realise":
        from deployer.build.realiser import realise

        return realise
    if name == "BuildSettings":
        from deployer.build.settings import BuildSettings

        return BuildSettings
    if name == "Engine":
        from deployer.build.engine import Engine

        return Engine
    raise AttributeError(name)
