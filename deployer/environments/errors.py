"""What can be wrong with environments."""

from __future__ import annotations

from deployer.errors import ConfigurationError, DeploymentError, Place


class BaseNotRootTree(ConfigurationError):
    """What is to be an environment's `/usr` is no root tree."""

    name: str
    roots: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return f"package {self.name!r} is no root tree: it can't be the base of an environment"

    @property
    def remedy(self) -> str:
        """Which could."""
        return f"Choose {' or '.join(map(repr, self.roots))}." if self.roots else "Name a package of kind `debian`, or no base."


class ArchitectureForeign(ConfigurationError):
    """A root tree is for machines of another kind than this one."""

    name: str
    architecture: str
    machine: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Which, and what this machine is."""
        return f"package {self.name!r} is for {self.architecture}, and this machine is {self.machine}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Use it on a machine of that kind, or give the package another `architecture`."


class ProgramUnclear(ConfigurationError):
    """A package does not say which of its programs is meant."""

    name: str
    tried: tuple[str, ...]
    programs: tuple[str, ...]
    """Some of those that it has."""

    @property
    def message(self) -> str:
        """Which package, and what was looked for."""
        return f"package {self.name!r} has no program called {' or '.join(map(repr, self.tried))}"

    @property
    def remedy(self) -> str:
        """What to say."""
        return f"Say which with --program: {', '.join(self.programs)} …" if self.programs else "It has no programs at all."


class ShellMissing(ConfigurationError):
    """A root tree has no shell to be in."""

    name: str

    @property
    def message(self) -> str:
        """Which."""
        return f"package {self.name!r} has neither bash nor sh: there is no shell to start"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Add bash or dash to its `packages`, or start a program of it with `deployer run`."


class ShellFileInvalid(ConfigurationError):
    """`shell.yaml` is not written as it must be."""

    reason: str
    place: Place
    advice: str = ""

    @property
    def message(self) -> str:
        """What is wrong."""
        return self.reason

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return self.advice


class PackFailed(DeploymentError):
    """The file of a pack can't be written."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.file} can't be written: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Give another place with -o."
