"""The signed indexes that a set was solved with: their dates, and the keys that vouch for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from deployer.packages.errors import IndexRefused
from deployer.packages.lockfile import LockedIndex
from deployer.process import Completed, run

_TRUSTED: Final = Path("/etc/apt")
_DATE: Final = re.compile(r"^Date: (.+)$", re.MULTILINE)
_GOOD: Final = re.compile(r"^\[GNUPG:\] VALIDSIG (?P<key>[0-9A-F]+)(?: \S+){8}(?: (?P<primary>[0-9A-F]+))?", re.MULTILINE)
_TOLD: Final = re.compile(r"(?:E|W|Err|Ign):\s*(.+)")


async def read_indexes(lists: Path, suites: Sequence[str], keyrings: Iterable[Path]) -> tuple[LockedIndex, ...]:
    """The indexes in apt's directory of lists, of the suites in this order. Raises `IndexRefused`, `ProgramMissing`.

    apt has refused what is not signed before this; here the signature is checked once more, for who made it.
    """
    rings, found = tuple(keyrings), []
    for suite in suites:
        release, signature = _release_of(suite, lists)
        checked = await ask_gpgv(rings, *signature, release)
        keys = good_keys(checked.text)
        if not keys:
            reasons = checked.stderr.decode(errors="replace").strip().splitlines()
            raise IndexRefused((suite,), ("it has no good signature", *reasons[-3:]))
        content = release.read_bytes()
        date = _DATE.search(content.decode(errors="replace"))
        if date is None:
            raise IndexRefused((suite,), ("its Release file has no date",))
        moment = parsedate_to_datetime(date[1]).astimezone(UTC)
        found.append(locked_index(suite, moment, content, keys))
    return tuple(found)


def _release_of(suite: str, lists: Path) -> tuple[Path, tuple[Path, ...]]:
    """The Release file, and its signature where that is another file."""
    pattern = f"*_dists_{suite.strip('/').replace('/', '_')}"
    for release in lists.glob(f"{pattern}_InRelease"):
        return release, ()
    for release in lists.glob(f"{pattern}_Release"):
        return release, (release.with_name(f"{release.name}.gpg"),)
    raise IndexRefused((suite,), ("the mirror has no Release file of it",))


async def ask_gpgv(keyrings: Iterable[str | Path], *words: str | Path) -> Completed:
    """What gpgv says of a signature, in the form of its `--status-fd`, whatever that is. Raises `ProgramMissing`."""
    rings = [word for ring in keyrings for word in ("--keyring", ring)]
    return await run(["gpgv", "--status-fd", "1", *rings, *words], check=False)


def locked_index(suite: str, date: datetime, release: bytes, keys: tuple[str, ...]) -> LockedIndex:
    """What a lock says of a suite by its Release file, as it came, and the keys that signed it."""
    return LockedIndex(suite, f"{date:%Y-%m-%dT%H:%M:%SZ}", hashlib.sha256(release).hexdigest(), keys)


def good_keys(status: str) -> tuple[str, ...]:
    """The fingerprints of the primary keys of good signatures, as gpgv's `--status-fd` tells them (GnuPG: doc/DETAILS)."""
    return tuple(sorted({match["primary"] or match["key"] for match in _GOOD.finditer(status)}))


def trusted_keyrings() -> tuple[Path, ...]:
    """What apt trusts where a source names no keyring."""
    return tuple(ring for ring in (_TRUSTED / "trusted.gpg", *sorted(_TRUSTED.glob("trusted.gpg.d/*.gpg"))) if ring.is_file())


def refusal(suites: Sequence[str], printed: str) -> IndexRefused:
    """What apt's refusal to fetch indexes means, by what it printed."""
    told = [match[1] for line in printed.splitlines() if (match := _TOLD.match(line))]
    return IndexRefused(tuple(suites), tuple(dict.fromkeys(told)) or ("apt-get update failed, and printed no reason",))
