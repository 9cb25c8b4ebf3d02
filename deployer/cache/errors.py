"""What can go wrong with a binary cache."""

from __future__ import annotations

from deployer.errors import ConfigurationError, DeploymentError


class CacheUnusable(DeploymentError):
    """A cache can't be read or written."""

    url: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the binary cache {self.url} can't be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Check the address and the network, or take the cache out of the settings."


class LibraryMissing(ConfigurationError):
    """A kind of cache needs a library that is not installed."""

    url: str
    library: str
    extra: str

    @property
    def message(self) -> str:
        """Which."""
        return f"the binary cache {self.url} can't be used: {self.library} is not installed"

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"Install it with `pip install 'deployer[{self.extra}]'`."


class CacheCorrupt(DeploymentError):
    """A cache sent something else than it announced."""

    url: str
    path: str
    reason: str

    @property
    def message(self) -> str:
        """What."""
        return f"the binary cache {self.url} sent something else for {self.path} than it announced: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Nothing was registered. Try again; if it happens again, copy the path to the cache anew."


class PathNotTrusted(DeploymentError):
    """No trusted key has signed a path."""

    url: str
    path: str
    signers: tuple[str, ...]
    threshold: int = 1

    @property
    def message(self) -> str:
        """Which, and who has signed it."""
        signed = f"only {', '.join(self.signers)} signed it" if self.signers else "nobody signed it"
        wanted = f", and {self.threshold} trusted keys must" if self.threshold > 1 else ""
        return f"{self.path} of the binary cache {self.url} is not trusted: {signed}{wanted}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Add the cache's public key to the trusted keys, if you trust it."


class PathNotCached(DeploymentError):
    """No binary cache has a path."""

    path: str
    urls: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which, and who was asked."""
        return f"{self.path} is in none of the binary caches {', '.join(self.urls)}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Build it, or name a binary cache that has it."


class KeyRefused(ConfigurationError):
    """A text that should be a signing key is none."""

    name: str

    @property
    def message(self) -> str:
        """Only the name: the rest may be secret."""
        return f"the signing key {self.name!r} is malformed"

    @property
    def remedy(self) -> str:
        """What one looks like."""
        return "Keys are `NAME:BASE64`, as `nix key generate-secret` and `nix key convert-secret-to-public` write them."
