"""Why a machine can't build."""

from __future__ import annotations

from deployer.errors import DeploymentError


class SandboxUnusable(DeploymentError):
    """Bubblewrap can't make a sandbox here."""

    words: str

    @property
    def message(self) -> str:
        """Bubblewrap's words."""
        return f"no sandbox can be made on it: {self.words or 'bubblewrap ended without a word'}"

    @property
    def remedy(self) -> str:
        """What it takes."""
        return (
            "Allow user namespaces there (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or install the distribution's package bubblewrap."
        )


class BuilderFull(DeploymentError):
    """The inputs of a build have no room."""

    needed: int
    free: int
    root: str

    @property
    def message(self) -> str:
        """How much is needed, how much there is, and where."""
        return f"the inputs take {self.needed >> 20} MiB, and {self.free >> 20} MiB are free at {self.root}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Free space there. What no build needs has been removed from the builder's store already."


class NothingBuilt(DeploymentError):
    """Outputs are asked for that the last build did not make."""

    name: str

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no output {self.name!r} of the last build"
