"""What a user of the store's commands can put right."""

from __future__ import annotations

import os

from deployer.errors import ConfigurationError, DeployerError, DeploymentError


class NotInStore(ConfigurationError):
    """Something was named that is not a path of the store."""

    text: str
    reason: str
    root: str

    @property
    def message(self) -> str:
        """What, and why not."""
        return f"{self.text[:300]!r} names nothing in a store: {self.reason}"

    @property
    def remedy(self) -> str:
        """How paths are named."""
        return f"Name /nix/store/HASH-NAME, HASH-NAME, something in {self.root}/nix/store, or a link to one of these."


class PathUnknown(DeploymentError):
    """A path is named rightly, and is not in the store."""

    path: str
    root: str
    near: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which, and in which store."""
        return f"{self.path} is not valid in the store at {self.root}"

    @property
    def remedy(self) -> str:
        """What it may have been, or how to get it."""
        if self.near:
            return f"Did you mean {' or '.join(self.near)}?"
        return "Fetch it with `deployer store copy --from URL PATH`, build it, or name another store with --store-root."


class NoStore(DeploymentError):
    """There is no store where one should be."""

    root: str

    @property
    def message(self) -> str:
        """Where."""
        return f"there is no store at {self.root}"

    @property
    def remedy(self) -> str:
        """What makes one."""
        return "`deployer build` and `deployer store add` make it; another is named with --store-root or DEPLOYER_STORE_ROOT."


class TerminalRefused(ConfigurationError):
    """Bytes would go to a terminal, or be awaited from one."""

    incoming: bool

    @property
    def message(self) -> str:
        """Which way."""
        if self.incoming:
            return "it reads an archive from standard input, which is a terminal"
        return "it writes an archive to standard output, which is a terminal"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Redirect it: `… <FILE`." if self.incoming else "Redirect it: `… >FILE`, or pipe it into another program."


class FileUnusable(DeploymentError):
    """A file that was named can't be used."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.path}: {self.reason}" if self.path else self.reason

    @property
    def remedy(self) -> str:
        """What to look at."""
        return "Check the path and its permissions."


class Misused(ConfigurationError):
    """Options that don't go together, or an argument that can't be."""

    reason: str
    advice: str = ""

    @property
    def message(self) -> str:
        """What."""
        return self.reason

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return self.advice or "See --help."


class NothingRecorded(DeploymentError):
    """A path is there, and what was asked about it was not kept."""

    path: str
    what: str
    advice: str = ""

    @property
    def message(self) -> str:
        """Which path, and what."""
        return f"{self.path} has no {self.what} here"

    @property
    def remedy(self) -> str:
        """Where else it may be."""
        return self.advice


def translate(error: OSError | UnicodeError) -> DeployerError:
    """The kernel's error as one of ours."""
    if isinstance(error, UnicodeError):
        return Misused("a name is not UTF-8", "Rename the file, or name it by a path that is UTF-8.")
    return FileUnusable(
        os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "", error.strerror or str(error)
    )
