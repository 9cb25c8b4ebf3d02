"""What can go wrong in the lab, and what to do about it.

ConfigurationError
├── NotRoot, NotDebian, OverlayMissing, CgroupsUnusable, DebianArchiveUnknown   this machine cannot hold a lab
└── NoSuchLab, NoSuchLabHost, LabNameRefused, OutOfAddresses                    the request is wrong
DeploymentError
└── BaseFailed, HostsNotRunning, LabBusy, LabNotClean                           it was tried, and failed
"""

from __future__ import annotations

from collections.abc import Mapping

from deployer.errors import ConfigurationError, DeploymentError, near

_VAGRANT = "vagrant/README.md describes the same lab as virtual machines, for any system."


class NotRoot(ConfigurationError):
    """The lab mounts, makes namespaces and boots machines: only root may."""

    @property
    def message(self) -> str:
        """What is missing."""
        return "the lab needs root, for it mounts file systems and boots machines"

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"Run the same command by sudo. Or: {_VAGRANT}"


class NotDebian(ConfigurationError):
    """This machine has no apt, from whose configuration the lab learns where Debian is."""

    system: str

    @property
    def message(self) -> str:
        """What this machine is."""
        return f"the lab builds its hosts by apt, and this machine is {self.system}"

    @property
    def remedy(self) -> str:
        """The other way."""
        return _VAGRANT


class DebianArchiveUnknown(ConfigurationError):
    """apt knows no source of Debian packages."""

    release: str

    @property
    def message(self) -> str:
        """What was looked for."""
        return f"apt is not configured with any Debian archive, so the base of '{self.release}' cannot be built"

    @property
    def remedy(self) -> str:
        """What to configure."""
        return f"Add a 'deb' line of a Debian archive to /etc/apt/sources.list. Or: {_VAGRANT}"


class OverlayMissing(ConfigurationError):
    """The kernel cannot mount overlayfs here."""

    directory: str
    reason: str

    @property
    def message(self) -> str:
        """Where, and why."""
        return f"an overlay could not be mounted at {self.directory}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What helps."""
        return f"Load the module (modprobe overlay), or leave the container that forbids mounts. Or: {_VAGRANT}"


class CgroupsUnusable(ConfigurationError):
    """No control group hierarchy can be written here."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"hosts need control groups of their own, and none can be made: {self.reason}"

    @property
    def remedy(self) -> str:
        """What helps."""
        return f"Run the lab on a whole machine, or in a container that may write /sys/fs/cgroup. Or: {_VAGRANT}"


class NoSuchLab(ConfigurationError):
    """No lab has this name."""

    name: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which name."""
        return f"there is no lab '{self.name}'"

    @property
    def remedy(self) -> str:
        """The nearest name, or how to make one."""
        return _nearest(self.name, self.known) or "Make one: deployer lab up 3."


class NoSuchLabHost(ConfigurationError):
    """The lab has no host of this name."""

    name: str
    lab: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which name, in which lab."""
        return f"the lab '{self.lab}' has no host '{self.name}'"

    @property
    def remedy(self) -> str:
        """The nearest name, or all."""
        return _nearest(self.name, self.known) or f"It has: {', '.join(self.known[:10]) or 'none'}."


class LabNameRefused(ConfigurationError):
    """A name that cannot name a lab or a host."""

    name: str

    @property
    def message(self) -> str:
        """Which."""
        return f"'{self.name}' cannot be the name of a lab or of its host"

    @property
    def remedy(self) -> str:
        """What can."""
        return "Use lower-case letters, digits and inner hyphens, at most 32 of them, beginning with a letter."


class OutOfAddresses(ConfigurationError):
    """192.0.2.0/24 has room for so many hosts and no more."""

    wanted: int
    most: int

    @property
    def message(self) -> str:
        """How many were wanted."""
        return f"a lab has addresses for {self.most} hosts, and {self.wanted} were wanted"

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"Ask for at most {self.most}, or make a second lab: its addresses are its own."


class LabBusy(DeploymentError):
    """Another command is changing this lab."""

    name: str

    @property
    def message(self) -> str:
        """Which lab."""
        return f"another command is changing the lab '{self.name}'"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Wait for it to end, and try again."


class LabNotClean(DeploymentError):
    """Something that the lab made could not be removed; its record is kept."""

    name: str
    left: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is left."""
        return f"the lab '{self.name}' could not be removed whole; left: {', '.join(self.left)}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"End what uses it (a shell in its directory?), then: deployer lab down --lab {self.name}."


class BaseFailed(DeploymentError):
    """mmdebstrap could not build a base."""

    base: str
    reason: str

    @property
    def message(self) -> str:
        """Which base, and its last words."""
        return f"the base '{self.base}' could not be built: {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "Check that 'apt-get update' works on this machine and that its archive has this release."


class HostsNotRunning(DeploymentError):
    """Hosts did not boot to `running` in time."""

    states: Mapping[str, str]
    """Host to the state that it reached, with its failed units."""
    consoles: str

    @property
    def message(self) -> str:
        """Which, and how far they came."""
        told = "; ".join(f"{host}: {state}" for host, state in sorted(self.states.items())[:5])
        return f"{len(self.states)} host(s) did not boot to 'running': {told}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return (
            f"Read the consoles in {self.consoles}, and see whether the machine is short of memory; running 'up' again goes on."
        )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    names = near(name, known)
    return f"Did you mean {' or '.join(names)}?" if names else ""
