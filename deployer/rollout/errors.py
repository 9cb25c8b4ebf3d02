"""What a user can get wrong in a rollout's strategy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deployer.errors import ConfigurationError, Place


@dataclass(eq=False)
class StrategyKeyUnknown(ConfigurationError):
    """The inventory's `rollout` has a key that means nothing."""

    key: str
    near: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def message(self) -> str:
        """Which key."""
        return f"`rollout` has no key '{self.key}'"

    @property
    def remedy(self) -> str:
        """The nearest names, or all."""
        return (
            f"Did you mean {' or '.join(repr(name) for name in self.near)}?" if self.near else "See docs/explanation/rollouts.md."
        )


@dataclass(eq=False)
class StrategyValueWrong(ConfigurationError):
    """A key of `rollout` has a value that it cannot have."""

    key: str
    found: str
    expected: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """The key and its value."""
        return f"rollout.{self.key}: {self.found} is not {self.expected}"

    @property
    def remedy(self) -> str:
        """What would do."""
        return f"Give rollout.{self.key} {self.expected}."


@dataclass(eq=False)
class CanaryMissing(ConfigurationError):
    """No host of the rollout is a canary, although the strategy names some."""

    canary: str

    @property
    def message(self) -> str:
        """What was looked for."""
        return f"no host of this rollout matches the canary '{self.canary}'"

    @property
    def remedy(self) -> str:
        """Three ways out."""
        return "Select hosts that include a canary, give another with --canary, or deploy without one: --canary none."


def near(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The names that somebody who wrote `word` may have meant."""
    return tuple(difflib.get_close_matches(word, list(known), n=3, cutoff=0.6))
