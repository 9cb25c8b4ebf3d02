"""What a builder on another machine is asked, and what it tells.

The frames are those of `formats.messages`; every verb answers as there. While a build runs, and while nothing is asked, the
controller sends `beat` so that the builder knows that somebody is there; it ends its build, and itself, when that stays out.

    hello      `patience`: seconds without a word after which the controller counts as lost → `BuilderFacts`
    probe      `bubblewrap`: store path of what `BUBBLEWRAP_TREE` describes; empty: the machine's own → nothing;
               error `SandboxUnusable`
    missing    `paths` and `files` as hosts are asked; what is asked for is kept from the collector from now on
    room       `bytes`: how many are to come; frees what no build needs where they would not fit → nothing; error `BuilderFull`
    import     as hosts take it
    differing  `hashes`: store paths with the hashes of their NARs → `removed`: those that were held with other content, and what
               refers to them; error `PathAlive` where one is in use
    build      a `BuildOrder` → `BuildEnding`; before it, what the build prints comes in `D` frames. `cancel` ends it
    export     `outputs`: names of what the last build made → their NARs, one after another and compressed by zlib, in `D` frames
    adopt      `made`: list of `Made` → nothing: what the last build made is valid there from now on
    beat       nothing, and it is not answered
    cancel     nothing, and it is not answered
"""

from __future__ import annotations

from dataclasses import field
from typing import Final, Mapping, Tuple

from deployer.formats.messages import Message

TIMEOUT: Final = "timeout"
SILENCE: Final = "silence"
LOG_LIMIT: Final = "log"
CANCELLED: Final = "cancelled"
"""Why a build was stopped; see `BuildEnding`."""

BUBBLEWRAP_TREE: Final = ("loader/bwrap", "lib", "bin/bwrap")
"""Of a bubblewrap that is sent: the dynamic loader under the name that its processes are to have, its libraries, itself."""


class BuildOrder(Message):
    """One build script with all that it starts with; it names nothing that depends on the machine."""

    derivation: str
    """Its store path, for people and for names of files."""
    builder: str
    arguments: Tuple[str, ...]
    environment: Mapping[str, str]
    store_directory: str
    """Logical: `/nix/store`."""
    inputs: Tuple[str, ...]
    """Store paths that it sees."""
    outputs: Mapping[str, str]
    """Names to store paths."""
    inherited: Tuple[str, ...] = ()
    """Variables that it gets from the machine that it runs on, whatever `environment` says of them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What it finds in its build directory; bytes that are not UTF-8 are surrogates, as in file names."""
    toolchain: str = ""
    """The input whose top directories become those of the sandbox."""
    network: bool = False
    kvm: bool = False
    timeout: float = 3600.0
    """Seconds that it may take, and that it may print nothing."""
    silence_timeout: float = 1800.0
    log_limit: int = 64 << 20
    """Bytes that it may print."""
    keep_failed: bool = False
    """Keep its build directory if it ends badly."""


class BuildEnding(Message):
    """How a build script ended. No process of it is left."""

    status: int = 0
    """Of its first process; less than 0: the signal that killed it."""
    stopped: str = ""
    """Why it was killed by us: `timeout`, `silence`, `log`, `cancelled`; empty: it ended by itself."""
    made: Tuple[str, ...] = ()
    """Names of the outputs that it made."""
    kept: str = ""
    """Where its build directory is kept."""
    unfit: str = ""
    """The place in the first output that has no place in a store, below the store directory; and why."""
    unfit_reason: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it ended by itself, and says that all is well."""
        return not self.stopped and self.status == 0


class Made(Message):
    """What the controller found out of an output that it admitted."""

    path: str
    nar_hash: str
    nar_size: int
    references: Tuple[str, ...] = ()
    deriver: str = ""


class BuilderFacts(Message):
    """What a builder is."""

    protocol: int
    machine: str
    """`x86_64`, as uname(2) says."""
    emulated: Tuple[str, ...]
    """What the kernel runs besides, with an emulator: `qemu-aarch64`."""
    processors: int
    kvm: bool
    """Whether this user may start virtual machines."""
    sandbox_refusal: str
    """Why our own warden can make no sandbox there; empty where it can."""
    bubblewrap: str
    """The program's place; empty where the machine has none."""
    compressions: Tuple[str, ...]
    """What the runtime can decompress, best first."""
    root: str
    """Below which its store lies."""
    user: str
