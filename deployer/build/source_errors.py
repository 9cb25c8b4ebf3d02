"""What can go wrong while something is fetched, unpacked or put together.

DeploymentError
├── FetchFailed         nothing could be fetched
├── NotVendored         builds have a vendor directory, and files are not in it
├── ArchiveRefused      an archive is broken or hostile
├── FilesCollide        two packages bring different files under one name
├── InterpreterMissing  a root tree has not the program that an environment is for
├── LocaleUnknown       a root tree has no parts of a locale
├── ProgramNotLoadable  a program of a root tree is none for a loader
├── ProgramUnknown      a root tree has no such program
└── ProgramsUnnamed     nothing says which programs of a root tree are meant
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from deployer.errors import DeploymentError, near

_SHOWN: Final = 8
"""How many programs of a tree are named."""


class FetchFailed(DeploymentError):
    """A file could not be fetched from anywhere."""

    url: str
    reasons: tuple[str, ...]

    @property
    def message(self) -> str:
        """What was asked, and every answer."""
        return "\n".join([f"{self.url} could not be fetched", *(f"    {reason}" for reason in self.reasons)])

    @property
    def remedy(self) -> str:
        """Where to look."""
        if self.url.startswith("mirror:"):
            return "Check the mirrors (DEPLOYER_DEBIAN_MIRRORS, or apt's). If they dropped this version, run 'deployer lock'."
        return "Check the URL and this machine's network and proxy settings."


class NotVendored(DeploymentError):
    """Files are in no vendor directory, and nothing else is asked."""

    files: tuple[str, ...]
    places: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which, and where they were looked for."""
        what = f"{len(self.files)} files are" if len(self.files) > 1 else "a file is"
        lines = (f"    {line}" for line in (*self.files, *self.reasons))
        return "\n".join([f"{what} not in {' or '.join(self.places)}", *lines])

    @property
    def remedy(self) -> str:
        """How to have them there."""
        return "Run 'deployer package vendor' where the network can be reached, and bring its directory here."


class ArchiveRefused(DeploymentError):
    """An archive is broken, hostile, or of a kind that we do not read."""

    archive: str
    member: str
    reason: str

    @property
    def message(self) -> str:
        """Which member, and why."""
        member = f", member {self.member!r}" if self.member else ""
        return f"the archive {self.archive}{member}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do with it."""
        return "Do not use this archive; get it from its author again, and check its hash."


class FilesCollide(DeploymentError):
    """Two packages bring different files under one name."""

    path: str
    first: str
    second: str

    @property
    def message(self) -> str:
        """The name, and both."""
        return f"{self.path} is both in {self.first} and in {self.second}"

    @property
    def remedy(self) -> str:
        """How to end it."""
        return "Leave one of the two out."


class InterpreterMissing(DeploymentError):
    """A root tree has not the program that is to run an environment, though the names of its Debian packages promise one."""

    tree: str
    """Whose tree it is."""
    program: str
    """As a path of the tree."""
    debian_package: str
    """What brings it."""

    @property
    def message(self) -> str:
        """Which program, and of which package."""
        return f"the tree of package {self.tree!r} has no {self.program}, which is to run packages that name it as `interpreter`"

    @property
    def remedy(self) -> str:
        """How to have it there."""
        return f"Have Debian's own {self.debian_package!r} among its `packages`, and run 'deployer lock'."


class LocaleUnknown(DeploymentError):
    """A root tree has no definition of a locale that it is to have, or no character map for it."""

    tree: str
    locale: str
    near: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return f"the package 'locales' in {self.tree} has no locale {self.locale!r}"

    @property
    def remedy(self) -> str:
        """The nearest ones."""
        if self.near:
            return f"Did you mean {' or '.join(map(repr, self.near))}?"
        return "Its file /usr/share/i18n/SUPPORTED lists them: write de_DE.UTF-8 for the line 'de_DE.UTF-8 UTF-8'."


class ProgramUnknown(DeploymentError):
    """A root tree has no program of a name."""

    package: str
    program: str
    """Its name, or its path in the tree."""
    programs: Collection[str]
    """Names of all programs of the tree."""
    own: Collection[str] = ()
    """Those of the packages that were asked for, where these are known."""

    @property
    def message(self) -> str:
        """Which, of which package."""
        return f"package {self.package!r} has no program {self.program!r}"

    @property
    def remedy(self) -> str:
        """The nearest ones, and what there is."""
        nearest = near(self.program.rpartition("/")[2], self.programs)
        meant = f"Did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
        return f"{meant}It has {_some(self.own or self.programs)}."


class ProgramNotLoadable(DeploymentError):
    """A program of a root tree is a script, and the tree's loader starts only what was compiled."""

    package: str
    program: str
    """As a path of the tree."""

    @property
    def message(self) -> str:
        """Which, of which package."""
        return f"{self.program} of package {self.package!r} is a script, which can't be started by its tree's loader"

    @property
    def remedy(self) -> str:
        """What can be."""
        return "Give the service the tree as its root (`systemd.roots`), or have the program from a package of another kind."


class ProgramsUnnamed(DeploymentError):
    """The packages that a root tree is asked for bring no programs, and nothing says which of the others are meant."""

    package: str
    programs: Collection[str]
    """Names of all programs of the tree."""

    @property
    def message(self) -> str:
        """Of which."""
        return f"the Debian packages that package {self.package!r} names bring no programs"

    @property
    def remedy(self) -> str:
        """What to write."""
        return f"Say in its `programs` which of the others go on PATH: it has {_some(self.programs)}."


def _some(programs: Collection[str]) -> str:
    names = sorted(programs)
    return ", ".join([*names[:_SHOWN], *([f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])]) or "none at all"
