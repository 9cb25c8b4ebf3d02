"""Where things are on a host, below a root that tests may move."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE_DIRECTORY: Final = "/var/lib/deployer"
"""All that is ours outside the store and `/etc`. Others may pass through it to the profile (0711), and see nothing else."""
PROFILE: Final = STATE_DIRECTORY + "/profile"
CURRENT: Final = PROFILE + "/current"
"""The one commit point: a link to `N-link` beside it."""
GOOD: Final = STATE_DIRECTORY + "/good"
"""A link to the system that was last confirmed."""
NIX_ROOTS: Final = "/nix/var/nix/gcroots/deployer"
"""Where a Nix of the host finds what is ours to keep."""
STATE: Final = STATE_DIRECTORY + "/state"
JOURNAL: Final = STATE_DIRECTORY + "/journal"
NEXT_BOOT: Final = STATE_DIRECTORY + "/next-boot.json"
"""What the next boot is to bring, where that is not the current generation."""
PUSHED: Final = STATE_DIRECTORY + "/pushed"
"""A link to the system that was copied last without being activated."""
LOCK: Final = STATE_DIRECTORY + "/lock"
LEDGER: Final = STATE_DIRECTORY + "/ledger.json"
ORIGINALS: Final = STATE_DIRECTORY + "/originals"
"""Files of the host's own that an entry with `replace` set aside."""
KEPT: Final = STATE_DIRECTORY + "/kept"
"""Files of ours that somebody changed by hand, and that a deployment overwrote."""
QUARANTINE: Final = STATE_DIRECTORY + "/quarantine"
"""One file for each system that was rolled back from, with the reason."""
PINNED: Final = STATE_DIRECTORY + "/pinned"
"""One empty file for each generation that somebody wants kept, named by its number."""
BOOTED: Final = "/run/deployer/booted"
"""A link whose target is the number of the generation that this boot began with. Made before the first change of a boot; until
then the current one is it."""
RESERVE: Final = STATE_DIRECTORY + "/reserve"
"""Some space that is given back before a rollback, so that it can write on a full disk."""
TRANSACTION: Final = STATE_DIRECTORY + "/transaction"
"""What belongs to the transaction under way, or to the last one."""
UNDO: Final = TRANSACTION + "/undo"
EVENTS: Final = TRANSACTION + "/events.jsonl"
REQUEST: Final = TRANSACTION + "/request.json"
CONFIRMATION: Final = TRANSACTION + "/confirmation"
"""Where a confirmation is laid for the service that waits for it."""
CANCELLATION: Final = TRANSACTION + "/cancellation"
JOURNAL_MARK: Final = TRANSACTION + "/journal-mark"
"""Where systemd's journal ended before anything was changed, where a check asks for what came after that."""
NEXT_LEDGER: Final = TRANSACTION + "/ledger.json"
BEFORE: Final = TRANSACTION + "/before"
"""Copies of files as they were before the transaction."""
WAY_IN: Final = STATE_DIRECTORY + "/way-in.nft"
"""For the host's firewall: the address and port by which the controller of the last transaction came."""
LABELS: Final = STATE_DIRECTORY + "/selinux"
"""The rules for security labels that SELinux' policy has of us."""
KIT: Final = "/var/lib/deployer-python."
"""How the names of directories begin in which a Python lies that was sent for one conversation."""
ETC: Final = "/etc"


@dataclass(frozen=True)
class HostPaths:
    """Where the host's root directory is. All other paths are logical: as the host itself sees them."""

    root: Path = Path("/")

    def on_disk(self, logical: str) -> Path:
        """Where a path of the host is for us."""
        return self.root / logical.lstrip("/")
