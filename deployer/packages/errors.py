"""What can be wrong with packages, their lock, and the mirrors that they come from."""

from __future__ import annotations

from deployer.errors import ConfigurationError, DeploymentError, Place


class PackageUnknown(ConfigurationError):
    """Something refers to a package that nothing defines."""

    name: str
    near: tuple[str, ...]
    place: Place | None = None
    lies_beside: bool = False
    """Whether a file or directory of that name lies beside the packages."""

    @property
    def message(self) -> str:
        """Which name."""
        return f"there is no package {self.name!r}"

    @property
    def remedy(self) -> str:
        """The nearest names."""
        if self.lies_beside:
            return f"For what lies beside packages.yaml, write './{self.name}'."
        if self.near:
            return f"Did you mean {' or '.join(map(repr, self.near))}?"
        return "Define it in packages.yaml."


class PackageInvalid(ConfigurationError):
    """A package is not written as its kind asks."""

    package: str
    reason: str
    place: Place | None = None
    hint: str = ""

    @property
    def message(self) -> str:
        """Which package, and what is wrong with it."""
        return f"package {self.package!r}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to write instead, where that is known."""
        return self.hint


class PasswordShown(PackageInvalid):
    """A file that many read has a password in it: the line is not printed."""

    shows_its_line = False


class PackagesFileInvalid(ConfigurationError):
    """A file of packages can't be read as one."""

    reason: str
    place: Place
    hint: str

    @property
    def message(self) -> str:
        """Why."""
        return self.reason

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return self.hint


class PackageCycle(ConfigurationError):
    """Packages need each other in a circle."""

    cycle: tuple[str, ...]
    place: Place | None = None

    @property
    def message(self) -> str:
        """The circle."""
        return f"packages need each other in a circle: {' → '.join(self.cycle)}"

    @property
    def remedy(self) -> str:
        """How to break it."""
        return "Let one of them do without the other."


class LockOutdated(ConfigurationError):
    """`deployer.lock` does not pin what a package asks for."""

    package: str
    lock: str
    reason: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Which package, and how the lock differs."""
        return f"package {self.package!r}: {self.lock} {self.reason}"

    @property
    def remedy(self) -> str:
        """The command that mends it."""
        return "Run 'deployer lock'."


class LockInvalid(ConfigurationError):
    """`deployer.lock` cannot be read."""

    reason: str
    place: Place

    @property
    def message(self) -> str:
        """Why."""
        return f"this is not a lock file of ours: {self.reason}"

    @property
    def remedy(self) -> str:
        """How to get a good one."""
        return "Restore it from version control, or delete it and run 'deployer lock'."


class NixMissing(ConfigurationError):
    """A package is an attribute of a Nix expression, and there is no Nix here to evaluate it."""

    package: str
    file: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Which package."""
        return f"package {self.package!r} is made by {self.file}, and this machine has no nix-instantiate to evaluate it"

    @property
    def remedy(self) -> str:
        """How to have one, or do without."""
        return (
            "Install Nix here (on Debian: apt-get install nix-bin), or leave this package as it is pinned: "
            "'deployer lock --update NAME' for the others."
        )


class StorePathMissing(ConfigurationError):
    """No binary cache that we may ask has a store path that a package of kind `nix` is."""

    path: str
    place: Place | None = None
    reason: str = ""
    file: str = ""
    """The Nix expression that it is an attribute of, for people."""

    @property
    def message(self) -> str:
        """Which path, and what the last cache said."""
        return f"{self.path} is not in the store, and no binary cache has it{f': {self.reason}' if self.reason else ''}"

    @property
    def remedy(self) -> str:
        """Where to get it."""
        named = "Name a binary cache that has it by --substituter, and the key that it signs with by --trusted-key"
        return f"{named}; or build where there is a Nix, which makes it of {self.file}." if self.file else f"{named}."


class IndexRefused(ConfigurationError):
    """The index of a suite is unsigned, expired, signed by a stranger, or not to be had."""

    suites: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which, and apt's own words."""
        lines = (f"    {reason}" for reason in self.reasons)
        return "\n".join([f"the package index of {' or '.join(self.suites)} cannot be used", *lines])

    @property
    def remedy(self) -> str:
        """By what is wrong with it."""
        words = " ".join(self.reasons).lower()
        if "no keyring" in words:
            return "Copy Debian's keyring (debian-archive-keyring.gpg) to ~/.config/deployer/debian-keyring.gpg."
        if "expired" in words or "not valid yet" in words or "older than" in words:
            return "Name a mirror that is up to date (DEPLOYER_DEBIAN_MIRRORS), and check the clock of this machine."
        if "sign" in words or "pubkey" in words:
            return (
                "Name a mirror whose Release file is signed by a key in its keyring: "
                "signed-by in apt's sources, ~/.config/deployer/debian-keyring.gpg for mirrors that are named by their URLs."
            )
        return "Check the names of the suites, the mirrors, and this machine's network and proxy settings."


class SettingsUnreadable(ConfigurationError):
    """A file by which this machine, or its user, says where things are fetched from can't be read."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.file} can't be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """By whose it is."""
        return "Let this user read it. If it is in another user's home, set HOME to this user's own."


class MirrorsUnknown(ConfigurationError):
    """Nothing says where .debs come from."""

    looked_at: tuple[str, ...]

    @property
    def message(self) -> str:
        """Where we looked."""
        return f"no mirror of Debian packages is known; looked at {', '.join(self.looked_at)}"

    @property
    def remedy(self) -> str:
        """How to name one."""
        return "Set DEPLOYER_DEBIAN_MIRRORS to the URLs of your mirrors, separated by spaces."


class FileChanged(ConfigurationError):
    """A file beside packages.yaml is not the one that is pinned."""

    file: str
    expected: str
    found: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Both hashes, one below the other."""
        return f"the hash of {self.file} is not the pinned one\n    pinned: {self.expected}\n    found:  {self.found}"

    @property
    def remedy(self) -> str:
        """What to do with the two."""
        return "If the file is right, write the hash that was found."


class PythonIndexUnknown(ConfigurationError):
    """Nothing says where wheels come from."""

    looked_at: tuple[str, ...]

    @property
    def message(self) -> str:
        """Where we looked."""
        return f"no index of Python packages is known; looked at {', '.join(self.looked_at)}"

    @property
    def remedy(self) -> str:
        """How to name one."""
        return "Set DEPLOYER_PYTHON_INDEXES to the URLs of your indexes, or give the package the key 'index'."


class PythonIndexFailed(DeploymentError):
    """An index of Python packages gave no answer, or none that can be used."""

    url: str
    reason: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the index of Python packages {self.url} cannot be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        where = "DEPLOYER_PYTHON_INDEXES, the key 'index', pip's settings"
        return f"Check its URL ({where}), and this machine's network and proxy settings."
