"""What a host refuses, before anything has changed, and why."""

from __future__ import annotations

from typing import Sequence

from deployer.errors import ConfigurationError, DeploymentError, NeedsPersonError
from deployer.formats.messages import Problem


class RequestRefused(DeploymentError):
    """A request that is not one of ours."""

    reason: str

    @property
    def message(self) -> str:
        """What was wrong with it."""
        return f"the request is not understood: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Use the version of deployer that the host's runtime came with."


class HostBusy(DeploymentError):
    """Another transaction is under way."""

    controller: str
    state: str
    transaction: str
    seconds_left: float

    @property
    def message(self) -> str:
        """Whose, in which state, and until when."""
        left = f", for at most {self.seconds_left:.0f} s more" if self.seconds_left > 0 else ""
        return f"{self.controller or 'somebody'} is deploying to this host: the transaction is {self.state or 'beginning'}{left}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Wait: it ends by itself, confirmed or rolled back. `deployer status` shows how it stands."


class Fenced(DeploymentError):
    """A newer rollout has been here."""

    epoch: int
    seen: int

    @property
    def message(self) -> str:
        """Which is newer."""
        return f"this request is of epoch {self.epoch}, and the host has seen epoch {self.seen}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Another controller has taken over; look at its rollout before deploying from here."


class HostBroken(NeedsPersonError):
    """The last rollback failed."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the last rollback on this host failed three times: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Remove the cause, then cancel the transaction: the host tries the rollback once more."


class PreviousChanged(DeploymentError):
    """The host is not where the controller thinks it is."""

    expected: str
    found: str

    @property
    def message(self) -> str:
        """What is current."""
        return f"the current system is {self.found or 'none'}, and {self.expected or 'none'} was expected"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Plan again: somebody has deployed to this host meanwhile."


class SystemMissing(DeploymentError):
    """A system that is to be activated is not in the store."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.path} is not in the host's store"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Copy its closure to the host first."


class SystemLost(DeploymentError):
    """A generation's system is gone from the store: somebody removed it by hand."""

    path: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.path}, the system of a generation of this host, is gone from its store"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Run `deployer deploy`: it copies what is missing anew, and sets right what hangs on it."


class ActivationRefused(DeploymentError):
    """The plan found reasons not to begin."""

    problems: Sequence[Problem]

    @property
    def message(self) -> str:
        """All of them."""
        return "; ".join(f"{problem.target}: {problem.message}" for problem in self.problems)

    @property
    def remedy(self) -> str:
        """For each."""
        return " ".join(dict.fromkeys(problem.remedy for problem in self.problems if problem.remedy))


class PlanOutdated(DeploymentError):
    """What would be done is not what was planned."""

    difference: str

    @property
    def message(self) -> str:
        """The first difference."""
        return f"the host would do something else than planned: {self.difference}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Plan again, read the new plan, and deploy that."


class NoSpace(DeploymentError):
    """The host's disk is too full to begin."""

    path: str
    free_bytes: int
    free_inodes: int

    @property
    def message(self) -> str:
        """What is left."""
        return f"{self.path} has only {self.free_bytes >> 20} MiB and {self.free_inodes} inodes free"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Free some space on the host, `deployer generations collect` may do; nothing was changed."


class GenerationUnknown(ConfigurationError):
    """A number was named that no generation of this host has."""

    generation: int
    known: Sequence[int]
    host: str = ""

    @property
    def message(self) -> str:
        """Which it has."""
        return f"there is no generation {self.generation}; there are {', '.join(map(str, self.known)) or 'none'}"

    @property
    def remedy(self) -> str:
        """How to see them."""
        return "Choose one of those: `deployer generations list` shows them."


class GenerationNeeded(ConfigurationError):
    """A generation was to go that must stay."""

    generation: int
    reasons: Sequence[str]

    @property
    def message(self) -> str:
        """Why."""
        return f"generation {self.generation} is needed: {', '.join(self.reasons)}"

    @property
    def remedy(self) -> str:
        """What to do."""
        if tuple(self.reasons) == ("pinned",):
            return f"Take the pin away first: `deployer generations unpin {self.generation}`."
        return "Switch to another generation first; what is booted goes after the next boot."


class KeptFiles(ConfigurationError):
    """What people wrote by hand would be lost with us."""

    paths: Sequence[str]
    host: str = ""

    @property
    def message(self) -> str:
        """All of it, by path."""
        what = "a version" if len(self.paths) == 1 else f"{len(self.paths)} versions"
        return f"{what} of files that somebody changed by hand would be lost: {', '.join(self.paths)}"

    @property
    def remedy(self) -> str:
        """How to fetch it, and how to go on."""
        command = f"deployer exec --on {self.host or 'HOST'} cat {self.paths[0]}"
        return f"Fetch what you want to keep (`{command}`), then uninstall with `--discard-kept`."


class ConfirmRefused(DeploymentError):
    """A confirmation came that does not count."""

    reason: str
    state: str
    generation: int
    system: str

    @property
    def message(self) -> str:
        """Why, and where the host stands."""
        where = f"generation {self.generation} ({self.system})" if self.system else "the state before deployer"
        return f"the confirmation was refused: {self.reason}; the host is {self.state or 'idle'}, at {where}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Look at the host's status; deploy again if it was rolled back."


class UnknownTransaction(DeploymentError):
    """The host does not know a transaction, or no longer."""

    transaction: str

    @property
    def message(self) -> str:
        """Which."""
        return f"this host's last transaction is not {self.transaction}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Look at the host's status."
