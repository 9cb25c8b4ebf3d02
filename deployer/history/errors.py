"""What can go wrong with the memory of what happened.

HistorySchemeUnknown   exit 2: the URL names a kind of database that this version cannot open
NoSuchRollout          exit 2
RolloutNotResumable    exit 2: it has ended, or somebody drives it
HistoryCorrupt         exit 1: the file is damaged, or is no database of ours
HistoryNewer           exit 1: a newer deployer wrote it
HistoryUnwritable      exit 1: no space, no permission, no such directory
HistoryBusy            exit 1: another process kept it locked for too long
HostLocked             exit 1: somebody else holds hosts
"""

from __future__ import annotations

from datetime import UTC, datetime

from deployer.errors import ConfigurationError, DeploymentError
from deployer.history.holder import Holder


class HistorySchemeUnknown(ConfigurationError):
    """The URL of the history names a kind of database that this version cannot open."""

    url: str

    @property
    def message(self) -> str:
        """The scheme alone: the rest may hold a password."""
        return f"a history of the kind '{self.url.partition(':')[0]}' cannot be opened"

    @property
    def remedy(self) -> str:
        """The form that works."""
        return "Use sqlite:///absolute/path or a plain path."


class NoSuchRollout(ConfigurationError):
    """No rollout has this number, or there is none at all."""

    number: int | None

    @property
    def message(self) -> str:
        """Which."""
        return "there is no rollout in the history yet" if self.number is None else f"there is no rollout {self.number}"

    @property
    def remedy(self) -> str:
        """Where the numbers are."""
        return "`deployer history` lists them."


class RolloutNotResumable(ConfigurationError):
    """A rollout has ended, or its controller lives."""

    number: int
    state: str
    holder: Holder

    @property
    def message(self) -> str:
        """Why not."""
        why = f"is driven by {self.holder}" if self.state == "running" else f"has ended: {self.state}"
        return f"rollout {self.number} {why}"

    @property
    def remedy(self) -> str:
        """What to do instead."""
        if self.state == "running":
            return "Wait for it, or stop it there with Ctrl-C. If that machine is lost: `deployer resume --take-over`."
        return "Start another with `deployer deploy`."


class HistoryCorrupt(DeploymentError):
    """The file of the history is damaged, or is no database of ours."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Which file."""
        return f"the history {self.path} cannot be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """How to go on: hosts know their own state."""
        return (
            f"Restore it from a backup, or move it away (mv {self.path} {self.path}.broken) and go on without it: "
            "every host knows its own generations."
        )


class HistoryNewer(DeploymentError):
    """A newer version of deployer has written the history."""

    path: str
    found: int
    known: int

    @property
    def message(self) -> str:
        """Both versions."""
        return f"the history {self.path} has schema {self.found}; this version knows up to {self.known}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Use the newer deployer, or another history: --history PATH."


class HistoryUnwritable(DeploymentError):
    """The history cannot be written, so nothing more may be begun."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the history {self.path} cannot be written: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Free some space, or give it a place where you may write: --history PATH. Then `deployer resume`."


class HistoryBusy(DeploymentError):
    """Another process kept the history locked for too long."""

    path: str
    seconds: float

    @property
    def message(self) -> str:
        """For how long."""
        return f"the history {self.path} was locked by another process for {self.seconds:g} s"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Try again. If it lasts, look for a process that holds the file: fuser -v FILE."


class HostLocked(DeploymentError):
    """Somebody else holds hosts that we want to change."""

    hosts: tuple[str, ...]
    holder: Holder
    since: float
    rollout: int

    @property
    def message(self) -> str:
        """Which hosts, by whom, since when."""
        names = ", ".join(self.hosts[:8]) + (f" and {len(self.hosts) - 8} more" if len(self.hosts) > 8 else "")
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        rollout = f" for rollout {self.rollout}" if self.rollout else ""
        return f"{names}: locked by {self.holder} since {since}{rollout}"

    @property
    def remedy(self) -> str:
        """Wait, or break it knowingly."""
        hosts = ",".join(self.hosts[:8])
        return f"Wait for it to end. If you know that it is gone, break the lock: `deployer unlock --on {hosts}`."
