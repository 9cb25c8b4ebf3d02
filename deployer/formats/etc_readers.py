"""Which entries of `/etc` are real files though nothing says so, and why: their readers refuse links, or must work also where
the store, on which a link depends, does not.

A plan tells the reason. `kind: link` in a configuration has its way, save where the reader would not read a link.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Final, Optional, Tuple


@dataclass(frozen=True)
class Reader:
    """Somebody who reads files of `/etc`."""

    pattern: str
    """A path below `/etc`; `*` stands for one name."""
    why: str
    mode: str = "0644"
    """What a file has, where nothing is declared."""


_CRON: Final = "cron reads no file that has several names, as those of the store may"
_SUDO: Final = "sudo must work also where the store does not"
_SSH: Final = "the way to this host must not hang on the store"
_LOGIN: Final = "logging in must not hang on the store"
_BOOT: Final = "it is read before all file systems are mounted"
READERS: Final[Tuple[Reader, ...]] = (
    Reader("cron.d/*", _CRON),
    Reader("crontab", _CRON),
    Reader("crypttab", _BOOT),
    Reader("fstab", _BOOT),
    Reader("hostname", _BOOT),
    Reader("pam.d/*", _LOGIN),
    Reader("ssh/sshd_config", _SSH),
    Reader("ssh/sshd_config.d/*", _SSH),
    Reader("sudoers", _SUDO, "0440"),
    Reader("sudoers.d/*", _SUDO, "0440"),
)


def reader_of(path: str) -> Optional[Reader]:
    """Who needs a real file at a path below `/etc`; None: nobody that we know of."""
    for reader in READERS:
        if path.count("/") == reader.pattern.count("/") and fnmatch.fnmatchcase(path, reader.pattern):
            return reader
    return None
