"""Requests to web servers that packages come from, with names and passwords of a netrc file.

A password is sent to the server that the file names, and never on to where that one redirects.
"""

from __future__ import annotations

import base64
import netrc
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deployer.errors import ConfigurationError

_OF_MACHINE: Final = Path("/etc/nix/netrc")
"""Where binary caches have theirs."""


class LoginsUnreadable(ConfigurationError):
    """A netrc file can't be read as one."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the passwords in {self.file} can't be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """What it is to look like."""
        return "Write `machine HOST login NAME password PASSWORD`, a line for each server."


def request_to(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> urllib.request.Request:
    """A request of ours, with the login for its server if there is one. Raises `LoginsUnreadable`."""
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "deployer", **(headers or {})})
    if login := _login(url, (Path("~/.netrc"), _OF_MACHINE)):
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    return request


def _login(url: str, files: tuple[Path, ...]) -> tuple[str, str] | None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    for file in files:
        try:
            known = netrc.netrc(os.path.expanduser(file)).hosts
        except (FileNotFoundError, PermissionError):
            continue
        except netrc.NetrcParseError as error:
            raise LoginsUnreadable(
                str(file), f"line {error.lineno} says something else"
            ) from None  # its own words quote passwords
        except (OSError, UnicodeDecodeError) as error:
            raise LoginsUnreadable(str(file), str(error)) from None
        # `default` is for no server in particular: packages come from many, and most are strangers.
        if parts.hostname in known and parts.hostname != "default":
            name, _, password = known[parts.hostname]
            return name, password or ""
    return None
