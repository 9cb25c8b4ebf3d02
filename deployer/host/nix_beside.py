"""A host that has a real Nix too: two collectors, one store.

Nix deletes what lies in the store and is not in its database, so what we keep is registered with it, and is held by links in its
`gcroots` as well as in ours. What we bring is not registered before it is kept: until then we hold the lock that Nix's
collector waits for. Our collector deletes nothing on such a host; it only forgets, and leaves the rest to Nix.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Dict, Final, Iterable, List, Mapping, Optional

from deployer.errors import DeploymentError
from deployer.formats.hashes import Hash
from deployer.host.process import ProgramFailed, ProgramMissing, ProgramTimedOut, run
from deployer.store import PathInfo, Store
from deployer.store.database import nix_hash

DATABASE: Final = "nix/var/nix/db/db.sqlite"
_LOCK: Final = "nix/var/nix/gc.lock"
_PROGRAMS: Final = (
    "/nix/var/nix/profiles/default/bin/nix-store",
    "/root/.nix-profile/bin/nix-store",
    "/run/current-system/sw/bin/nix-store",
    "/usr/bin/nix-store",
    "/usr/local/bin/nix-store",
)
_COLLECTION: Final = 90.0
"""Seconds that a collection of Nix's is waited for."""
_POLL: Final = 0.2
_REGISTRATION: Final = 120.0


class NixBusy(DeploymentError):
    """The host's Nix collects garbage, for long."""

    seconds: float

    @property
    def message(self) -> str:
        """How long it was waited for."""
        return f"this host's Nix has been collecting garbage for {self.seconds:g} s"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Deploy again when `nix-collect-garbage` has ended there."


class NixUnusable(DeploymentError):
    """The host has a Nix that does not take our paths; it would delete them."""

    reason: str

    @property
    def message(self) -> str:
        """Why not."""
        return f"this host has a Nix, and what we keep can't be registered with it: {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "Try `nix-store --verify` as root on the host. Where Nix is gone for good, remove /nix/var/nix."


class NixBeside:
    """The Nix of this host, if it has one."""

    def __init__(self, store: Store) -> None:
        """Below the root of `store`. Nothing is locked yet."""
        self._store, self._lock = store, -1

    @property
    def is_there(self) -> bool:
        """Whether the host has a Nix."""
        return (self._store.root / DATABASE).exists()

    def keep_from_collecting(self) -> None:
        """Let no collection of Nix's begin until this process ends. Raises `NixBusy`."""
        if self._lock >= 0 or not self.is_there:
            return
        descriptor = os.open(self._store.root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _COLLECTION
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise NixBusy(_COLLECTION) from None
                time.sleep(_POLL)
            else:
                self._lock = descriptor
                return

    def register(self, paths: Iterable[str]) -> None:
        """Have Nix know these paths, and all that they refer to. Raises `NixBusy`, `NixUnusable`."""
        if not self.is_there:
            return
        store = self._store
        closure = [str(path) for path in store.closure(sorted(store.valid(paths)))]
        unknown = [path for path in closure if not nix_hash(store.layout, path)]
        if not unknown:
            return
        self.keep_from_collecting()
        lines = [line for path in unknown for line in _lines(store.query(path))]
        try:
            run([_program(store.root), "--load-db"], stdin="\n".join([*lines, ""]).encode(), timeout=_REGISTRATION)
        except (ProgramFailed, ProgramMissing, ProgramTimedOut) as error:
            raise NixUnusable(error.message) from None


def _program(root: Path) -> str:
    found: Optional[str] = next((name for name in _PROGRAMS if (root / name.lstrip("/")).exists()), None)
    if found is None:
        raise NixUnusable("its `nix-store` is nowhere")
    return found


def _lines(info: PathInfo) -> List[str]:
    """As `nix-store --dump-db` has it."""
    digest = Hash.parse(info.nar_hash).digest.hex()
    return [info.path, digest, str(info.nar_size), "", str(len(info.references)), *info.references]


def changes(there: Mapping[str, str], wanted: Mapping[str, str]) -> Dict[str, Optional[str]]:
    """What to do with links: name to new target, or to nothing where the link is to go; new ones first."""
    made: Dict[str, Optional[str]] = {name: path for name, path in wanted.items() if there.get(name) != path}
    return {**made, **{name: None for name in there if name not in wanted}}
