"""What the options and the environment say, for every command: the one place where either is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from deployer.ssh import BecomePassword, ConnectOptions
    from deployer.store import Store

STORE_DIR: Final = "/nix/store"
"""The logical store directory, on every machine."""
STORE_ROOT: Final = "DEPLOYER_STORE_ROOT"
SUBSTITUTERS: Final = "DEPLOYER_SUBSTITUTERS"
TRUSTED_KEYS: Final = "DEPLOYER_TRUSTED_KEYS"
SIGNATURES: Final = "DEPLOYER_SIGNATURES"
JOBS: Final = "DEPLOYER_JOBS"
BUILDER: Final = "DEPLOYER_BUILDER"
INVENTORY: Final = Path("inventory.yaml")
"""Where none is named."""


@dataclass(frozen=True, slots=True)
class BuildChoices:
    """How a command that builds is to go about it. None of it changes what is built."""

    substituters: tuple[str, ...] = ()
    """URLs of binary caches, asked in this order."""
    trusted_keys: tuple[str, ...] = ()
    """`NAME:BASE64` of the keys whose signatures are believed."""
    signatures: int = 1
    """How many of these keys must have signed a path."""
    jobs: int | None = None
    """Builds at the same time; None: as many as there are processors."""
    keep_going: bool = False
    keep_failed: bool = False
    timeout: float | None = None
    """Seconds that one build may take; None: the default, as below."""
    silence_timeout: float | None = None
    """Seconds that one build may print nothing."""
    log_limit: int | None = None
    """Bytes that one build may print."""
    vendor: tuple[str, ...] = ()
    """Vendor directories in place of the network; empty: this machine's, if it has any."""
    builders: tuple[str, ...] = ()
    """Which engines build, instead of this machine's sandbox; the first that can takes a derivation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that any command may have."""

    inventories: tuple[Path, ...]
    as_json: bool
    color: bool
    log: Path | None = None
    """Where every event is written as well."""
    store_root: Path | None = None
    """Where the store lies, if it was said."""
    build: BuildChoices = BuildChoices()
    become_password: BecomePassword | None = None
    """What sudo may ask for on hosts."""

    def connect_options(self) -> ConnectOptions:
        """How hosts are connected to."""
        from deployer.ssh import ConnectOptions

        return ConnectOptions(become_password=self.become_password)

    def open_store(self) -> Store:
        """The store that is meant. Nothing is read or made yet."""
        from deployer.store import Store

        return Store((self.store_root or store_root()).absolute(), STORE_DIR)


def store_root() -> Path:
    """Where the controller's store lies unless an option says otherwise (docs/decisions/001)."""
    given = os.environ.get(STORE_ROOT)
    return Path(given) if given else home("XDG_DATA_HOME", ".local/share") / "deployer" / "root"


def home(variable: str, default: str) -> Path:
    """A directory of the user's, as the XDG base directory specification has it. Raises `HomeUnknown`, `HomeNotAbsolute`."""
    given = os.environ.get(variable)
    try:
        found = Path(given) if given else Path.home() / default
    except RuntimeError:
        raise HomeUnknown(os.getuid(), variable) from None
    if not found.is_absolute():
        named = variable if given else "HOME"
        raise HomeNotAbsolute(named, os.environ.get(named, ""))
    return found


class HomeUnknown(ConfigurationError):
    """Something is to be kept in the home directory of a user who has none."""

    user: int
    variable: str
    """What may name a directory besides HOME."""

    @property
    def message(self) -> str:
        """Whose, and why it is not known."""
        return f"user {self.user} has no home directory: HOME is not set, and there is no account of that number"

    @property
    def remedy(self) -> str:
        """What may be set."""
        return f"Set HOME, or {self.variable}, to a directory of yours; where only the store is needed, --store-root DIR will do."


class HomeNotAbsolute(ConfigurationError):
    """Something is to be kept in a directory that would be another one wherever this is run."""

    variable: str
    value: str

    @property
    def message(self) -> str:
        """Which variable, and what it is."""
        return f"{self.variable} is {self.value!r}, which is no absolute path"

    @property
    def remedy(self) -> str:
        """How it is written."""
        return f"Set {self.variable} to a path that begins with /."
