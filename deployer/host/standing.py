"""Small files in our directory: where the host stands, what is ours, what was asked for."""

from __future__ import annotations

import contextlib
import json
from typing import Final, Optional, Tuple

from deployer.formats.frames import FrameRefused, parse_document
from deployer.formats.messages import Activation, Plan
from deployer.formats.state import BUSY, StateLine
from deployer.host.disk import Disk
from deployer.host.ledger import Ledger, Metadata
from deployer.host.paths import CANCELLATION, CONFIRMATION, LEDGER, REQUEST, STATE
from deployer.host.process import one_line

PRIVATE: Final = Metadata(0o600, 0, 0)


def write_state(disk: Disk, line: StateLine) -> None:
    """Say where the host stands, for a shell to print."""
    content = f"{line}\n".encode()
    with contextlib.suppress(FileNotFoundError):
        if disk.read(STATE) == content:
            return
    disk.write(STATE, content, PRIVATE)


def read_state(disk: Disk) -> StateLine:
    """Where the host says that it stands."""
    try:
        return StateLine.parse(disk.read(STATE).decode())
    except (FileNotFoundError, NotADirectoryError):
        return StateLine()
    except (FrameRefused, UnicodeDecodeError):
        return StateLine(BUSY)


def read_ledger(disk: Disk) -> Ledger:
    """What is ours. Raises `LedgerDamaged`."""
    try:
        return Ledger.from_bytes(disk.read(LEDGER))
    except (FileNotFoundError, NotADirectoryError):
        return Ledger()


def read_request(disk: Disk) -> Tuple[Activation, Plan]:
    """What was asked for, and what was planned for it."""
    document = parse_document(disk.read(REQUEST))
    return Activation.from_document(document["activation"]), Plan.from_document(document["plan"])


def read_confirmation(disk: Disk) -> Optional[Tuple[str, str]]:
    """Transaction and token that somebody brought."""
    try:
        document = json.loads(disk.read(CONFIRMATION))
        return str(document["transaction"]), str(document["token"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def read_cancellation(disk: Disk) -> str:
    """Why somebody wants the transaction to end."""
    try:
        said = disk.read(CANCELLATION)
    except FileNotFoundError:
        said = b""
    return one_line(said.decode("utf-8", "replace")) or "it was cancelled"
