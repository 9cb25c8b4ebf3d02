"""What is wrong with a builder, beyond what its connection tells."""

from __future__ import annotations

from deployer.errors import ConfigurationError, DeploymentError


class EngineUnknown(ConfigurationError):
    """A builder was named that is none."""

    url: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.url!r} is no builder: {self.reason}"

    @property
    def remedy(self) -> str:
        """What there is."""
        return (
            "`nix` hands builds to the Nix of this machine, `nix?store=URL&system=NAME&feature=NAME&jobs=N` says more of it; "
            "`ssh://USER@HOST:PORT?system=NAME&feature=NAME&jobs=N&ssh-key=FILE&become=true` is another machine."
        )


class BubblewrapMissing(DeploymentError):
    """A builder lets us make no sandboxes, has no bubblewrap, and can't be sent ours."""

    host: str
    refused: str
    reason: str

    @property
    def message(self) -> str:
        """Why it needs one, and why ours is of no use."""
        return f"it lets us make no sandbox ({self.refused}), has no bubblewrap, and can't be sent one: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to allow, or to install."""
        return (
            "Allow user namespaces there (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or install it: `apt-get install bubblewrap` (Debian, Ubuntu) or "
            "`dnf install bubblewrap` (RHEL and kin)."
        )


class SystemUnknown(DeploymentError):
    """A builder is said to run programs that it can't run."""

    host: str
    system: str
    machine: str

    @property
    def message(self) -> str:
        """What it is said to be, and what it is."""
        return f"it is said to build for {self.system}, but is {self.machine} and has no emulator"

    @property
    def remedy(self) -> str:
        """What to change."""
        return "Leave `system` out, or install an emulator there (on Debian: apt-get install qemu-user-static)."
