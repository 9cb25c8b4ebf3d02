"""The exit codes of builds, as `nix-store --realise` has them."""

from __future__ import annotations

from typing import Final

from deployer.build.errors import BuildTimedOut, EndedBadly, HashMismatch, OutputsDiffer
from deployer.errors import DeployerError, ManyErrors

_BUILD: Final = 0x60
_FAILED, _TIMED_OUT, _HASH, _CHECK = 0x04, 0x01, 0x02, 0x08


def exit_code(error: DeployerError) -> int:
    """100: a build failed; 101: timed out; 102: another hash than pinned; 104: not reproducible. Several are or-ed together."""
    mask = 0
    for one in error.errors if isinstance(error, ManyErrors) else (error,):
        match one:
            case BuildTimedOut():
                mask |= _FAILED | _TIMED_OUT
            case HashMismatch():
                mask |= _FAILED | _HASH
            case OutputsDiffer():
                mask |= _CHECK
            case EndedBadly():
                mask |= _FAILED
    return mask | _BUILD if mask else int(error.exit_code)
