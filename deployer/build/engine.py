"""What `realise` needs of something that builds: this machine's sandbox, another machine, a Nix with its farm.

`realise` schedules, waits for others that build the same, and tells what happens; an engine makes one derivation, whose inputs
are valid in the store, and returns when its outputs are valid there too. It is opened before anything is asked of it. `Maker` is
the one that is built in. Builders named `builtin:…` never reach another engine: they are our own code, and need no sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from deployer.build.errors import BuilderUnknown

if TYPE_CHECKING:
    from deployer.build.graph import Node
    from deployer.build.settings import BuildSettings
    from deployer.store import Store

OnLine = Callable[[str], None]
"""Takes a line that a builder printed, without its newline."""
Progress = Callable[[str, int, int], None]
"""Told of a download: the URL, the bytes received and the bytes to come (0: not known)."""


@runtime_checkable
class Engine(Protocol):
    """Makes derivations valid, one at a call, several calls at once."""

    async def open(self, store: Store) -> None:
        """Find out what it can. Nothing else is asked before. Raises `DeployerError` where it can't be used."""
        ...

    async def close(self) -> None:
        """Let go of what it holds; it may be opened again."""
        ...

    @property
    def systems(self) -> Collection[str]:
        """The `system`s of derivations that it can run: `x86_64-linux`, …"""
        ...

    @property
    def features(self) -> Collection[str]:
        """What it can offer to derivations with `requiredSystemFeatures`: `kvm`, `big-parallel`, …"""
        ...

    @property
    def jobs(self) -> int:
        """How many builds it takes at the same time."""
        ...

    async def build(self, store: Store, node: Node, *, settings: BuildSettings, on_line: OnLine, on_progress: Progress) -> None:
        """Make the outputs of `node` valid in `store`, checked by `deployer.build.outputs`.

        All that the derivation needs is valid, its outputs are locked by the caller, and not all of them are valid (unless
        `settings.check` asks to build again and compare). `on_line` is called in the loop's thread, `on_progress` in any.
        Raises errors of `deployer.build.errors`; on cancellation nothing of the build runs on.
        """
        ...


def can_build(engine: Engine, node: Node) -> bool:
    """Whether an engine has the system and the features that a derivation asks for."""
    return node.derivation.system in engine.systems and node.required_features <= set(engine.features)


def able(node: Node, embedded: Engine, others: Iterable[Engine]) -> tuple[Engine, ...]:
    """The engines for a derivation, the best first: those of the others that can, else the embedded one.

    What fetches, or says `preferLocalBuild`, costs more to send than to make: that is for the embedded one. Raises
    `BuilderUnknown`.
    """
    local = can_build(embedded, node)
    if local and (node.is_builtin or node.prefers_local_build):
        return (embedded,)
    found = () if node.is_builtin else tuple(engine for engine in others if can_build(engine, node))
    if found:
        return found
    if local:
        return (embedded,)
    raise BuilderUnknown(str(node.path), node.derivation.system, tuple(sorted(node.required_features)))
