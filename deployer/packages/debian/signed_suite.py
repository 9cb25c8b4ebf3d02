"""A suite of a mirror, read without apt: its Release file is signed, is of now, and pins the `Packages` file that is read.

What is refused is what apt refuses (apt-secure(8)), and a Release file that is of another suite than was asked for.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import lzma
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from deployer.packages.debian.signatures import ask_gpgv, good_keys, locked_index, trusted_keyrings
from deployer.packages.debian.stanzas import fields_of
from deployer.packages.errors import IndexRefused
from deployer.packages.lockfile import LockedIndex
from deployer.packages.mirrors import Mirror
from deployer.packages.recipes import MAIN
from deployer.packages.web import Unreadable, read

_LONGEST_RELEASE: Final = 16 << 20
_LONGEST_INDEX: Final = 512 << 20
"""Bytes."""
_AHEAD: Final = timedelta(seconds=10)
"""By how much its clock may be ahead of ours (apt: Acquire::Max-FutureTime)."""
_WRONG: Final = re.compile(r"^\[GNUPG:\] (NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|EXPSIG|ERRSIG) (\S+)", re.MULTILINE)
_BROKEN: Final = frozenset({"BADSIG", "REVKEYSIG"})
"""One of these is too many, whoever else signed it."""
_PACKED: Final = (".xz", ".gz", "")
"""How a `Packages` file may be packed, the best first."""


@dataclass(frozen=True, slots=True)
class SignedSuite:
    """What it has for one architecture."""

    index: LockedIndex
    packages: bytes
    """The `Packages` files of its components, one after another."""
    priority: int
    """As apt counts: 500, or less where it says that nothing of it is to be taken by itself (apt_preferences(5))."""


async def read_suite(mirror: Mirror, suite: str, architecture: str, components: Sequence[str] = (MAIN,)) -> SignedSuite:
    """Read and verify a suite. Raises `IndexRefused`, `ProgramMissing` without gpgv, `LoginsUnreadable`."""
    base = f"{mirror.url.rstrip('/')}/dists/{suite}"
    try:
        content, text, keys = await _release(base, suite, mirror)
        fields = fields_of(text)
        date = _date_of(suite, fields, datetime.now(UTC))
        places = [f"{component}/binary-{architecture}/Packages" for component in components]
        files = [await asyncio.to_thread(_packages, base, suite, place, fields) for place in places]
    except Unreadable as error:
        raise IndexRefused((suite,), (str(error),)) from None
    return SignedSuite(locked_index(suite, date, content, keys), b"\n\n".join(files), _priority(fields))


async def _release(base: str, suite: str, mirror: Mirror) -> tuple[bytes, str, tuple[str, ...]]:
    """The Release file as it came, what of it is signed, and whose good signatures it has."""
    keyrings = [mirror.signed_by] if mirror.signed_by else [str(ring) for ring in trusted_keyrings()]
    if not keyrings:
        raise IndexRefused((suite,), ("there is no keyring to check its signature with",))
    content, signature = await asyncio.to_thread(_signed_release, base, suite)
    with tempfile.TemporaryDirectory(prefix="deployer-release-") as name:
        directory = Path(name)
        release, detached, clear = directory / "Release", directory / "Release.gpg", directory / "text"
        await asyncio.to_thread(release.write_bytes, content)
        if signature is not None:
            await asyncio.to_thread(detached.write_bytes, signature)
        files = [detached, release] if signature is not None else ["--output", clear, release]
        checked = await ask_gpgv(keyrings, "--homedir", directory, *files)
        keys, wrong = good_keys(checked.text), _WRONG.findall(checked.text)
        if not keys or any(kind in _BROKEN for kind, _ in wrong):
            said = (f"{kind} {key}" for kind, key in wrong)
            raise IndexRefused((suite,), ("it has no good signature", *dict.fromkeys(said)))
        # What stands around the signed part of a file is nobody's word.
        text = content if signature is not None else await asyncio.to_thread(clear.read_bytes)
    return content, text.decode(errors="replace"), keys


def _signed_release(base: str, suite: str) -> tuple[bytes, bytes | None]:
    """A Release file, and its signature where that is not in it."""
    if (inline := read(f"{base}/InRelease", longest=_LONGEST_RELEASE)) is not None:
        return inline.body, None
    if (release := read(f"{base}/Release", longest=_LONGEST_RELEASE)) is None:
        raise IndexRefused((suite,), (f"{base} has no Release file",))
    if (signature := read(f"{base}/Release.gpg", longest=_LONGEST_RELEASE)) is None:
        raise IndexRefused((suite,), (f"the Release file of {base} is not signed",))
    return release.body, signature.body


def _date_of(suite: str, fields: Mapping[str, str], now: datetime) -> datetime:
    """When it was made. Raises `IndexRefused` where it is of another suite, or not of now."""
    names = {fields.get("Suite"), fields.get("Codename")}
    if names.isdisjoint({suite, suite.partition("/")[0]}):  # that of `buster/updates` calls itself buster
        raise IndexRefused((suite,), (f"its Release file is of {' or '.join(sorted(filter(None, names))) or 'no suite'}",))
    try:
        date = parsedate_to_datetime(fields["Date"]).astimezone(UTC)
        until = parsedate_to_datetime(fields["Valid-Until"]).astimezone(UTC) if "Valid-Until" in fields else None
    except (KeyError, ValueError):
        raise IndexRefused((suite,), ("its Release file has no date that can be read",)) from None
    if date > now + _AHEAD:
        raise IndexRefused((suite,), (f"its Release file is not valid yet: it is of {date:%Y-%m-%d %H:%M} UTC",))
    if until is not None and until < now:
        raise IndexRefused((suite,), (f"its Release file has expired, on {until:%Y-%m-%d %H:%M} UTC",))
    return date


def _packages(base: str, suite: str, plain: str, fields: Mapping[str, str]) -> bytes:
    """The file that is called `plain`, however it is packed."""
    sums = {name: (int(size), digest) for digest, size, name in _sums(fields.get("SHA256", ""))}
    whole = sums.get(plain)
    tried: list[str] = []
    for ending in _PACKED:
        if (found := sums.get(f"{plain}{ending}")) is None:
            continue
        by_hash = f"{plain.rpartition('/')[0]}/by-hash/SHA256/{found[1]}"
        # By their hashes, files of before and after an update stand side by side.
        for name in (by_hash, f"{plain}{ending}") if fields.get("Acquire-By-Hash") == "yes" else (f"{plain}{ending}",):
            answer = read(f"{base}/{name}", longest=_LONGEST_INDEX)
            if answer is None:
                continue
            if (len(answer.body), hashlib.sha256(answer.body).hexdigest()) != found:
                tried.append(f"{base}/{name} is not the one that its Release file names (SHA-256 {found[1]})")
                continue
            content = _unpacked(answer.body, ending, whole[0] if whole else _LONGEST_INDEX)
            if content is None or (whole is not None and (len(content), hashlib.sha256(content).hexdigest()) != whole):
                tried.append(f"{base}/{name} does not unpack to what its Release file names")
                continue
            return content
    if not tried:
        tried.append(f"its Release file names no {plain}" if whole is None else f"{base} lacks {plain}")
    raise IndexRefused((suite,), tuple(tried))


def _sums(text: str) -> Iterator[Sequence[str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].isdecimal():
            yield words


def _unpacked(data: bytes, ending: str, longest: int) -> bytes | None:
    """None where it can't be unpacked, or to too much."""
    try:
        with lzma.open(io.BytesIO(data)) if ending == ".xz" else gzip.open(io.BytesIO(data)) as file:
            content = data if ending == "" else file.read(longest + 1)
    except (OSError, EOFError, lzma.LZMAError):
        return None
    return content if len(content) <= longest else None


def _priority(fields: Mapping[str, str]) -> int:
    if fields.get("NotAutomatic") != "yes":
        return 500
    return 100 if fields.get("ButAutomaticUpgrades") == "yes" else 1
