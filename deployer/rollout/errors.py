"""What a user can get wrong in a rollout's strategy."""

from __future__ import annotations

from deployer.errors import ConfigurationError, DeploymentError, NeedsPersonError, Place
from deployer.formats.messages import Problem


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


class OperationCrashed(DeploymentError):
    """An operation on a host ended with an error that is a mistake in deployer."""

    host: str
    reason: str

    @property
    def message(self) -> str:
        """The mistake."""
        return f"deployer itself failed: {self.reason}"

    @property
    def remedy(self) -> str:
        """The host does not depend on us."""
        return "The host ends in the old or the new generation by itself; see `deployer status`. Please report this."


class HostBroken(NeedsPersonError):
    """The host could not go back by itself."""

    host: str

    @property
    def message(self) -> str:
        """What has happened to it."""
        return "a rollback failed on it three times"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return f"See `deployer status --on {self.host}` and, on the host, `journalctl -u deployer-activation.service`."


class PlanRefused(DeploymentError):
    """The host would refuse the activation, before anything has changed."""

    host: str
    problems: tuple[Problem, ...]

    @property
    def message(self) -> str:
        """Every reason."""
        return "; ".join(f"{problem.target}: {problem.message}" for problem in self.problems)

    @property
    def remedy(self) -> str:
        """What to do about each, once."""
        return " ".join(dict.fromkeys(problem.remedy for problem in self.problems))


class PlanChanged(DeploymentError):
    """What would be done now is not what the plan showed."""

    host: str

    @property
    def message(self) -> str:
        """That they differ."""
        return "what would be done now differs from the plan: the host or the configuration has changed since"

    @property
    def remedy(self) -> str:
        """Plan again."""
        return "Make a new plan, look at it, and deploy that."
