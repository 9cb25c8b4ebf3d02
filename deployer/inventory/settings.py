"""The keys of `connection`: what each may be, and how it is read."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deployer.inventory.models import Connection

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_ZONE: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\+$-]{0,254}")
_JUMP: Final = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_HOST_KEY: Final = re.compile(r"(?P<kind>[a-z][a-z0-9@.-]+) (?P<key>[A-Za-z0-9+/]+={0,2})(?: [^\x00-\x1f\x7f]*)?")


class Expected(ValueError):
    """A value is wrong; the text says what it is to be."""


def is_address(text: str) -> bool:
    """Whether this can be a host's address: a name or an IP, and never an option or a command."""
    if _NAME.fullmatch(text):
        return True
    bare, percent, zone = text.partition("%")
    if percent and not _ZONE.fullmatch(zone):
        return False
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def split_jump(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port of a jump host. Raises `Expected`."""
    match = _JUMP.fullmatch(text)
    host = match["host"].strip("[]") if match else ""
    if not match or not is_address(host):
        raise Expected("a jump host such as bastion, admin@bastion or admin@bastion:2222")
    user, port = match["user"], int(match["port"]) if match["port"] else None
    if user is not None and not _USER.fullmatch(user):
        raise Expected("a jump host such as bastion, admin@bastion or admin@bastion:2222")
    if port is not None and not 1 <= port <= 65535:
        raise Expected("a jump host whose port is from 1 to 65535")
    return user, host, port


def read_connection(key: str, value: Any, base: Path) -> Any:
    """A value of `connection`, checked; None is the default. `base` is what relative paths start from. Raises `Expected`."""
    return None if value is None else _READERS[key](value, base)


def read_path(value: Any, base: Path) -> Path:
    """A path, relative to the file that says it. Raises `Expected`."""
    text = _text(value, "a path")
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise Expected("a path in a home directory that exists") from None


def _text(value: Any, expected: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Expected(expected)
    return value


def _list(value: Any, expected: str) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise Expected(expected)
    return items


def _address(value: Any, _: Path) -> str:
    text = _text(value, "a host name or an IP address")
    if not is_address(text):
        raise Expected("a host name or an IP address")
    return text


def _port(value: Any, _: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise Expected("a whole number from 1 to 65535")
    return value


def _user(value: Any, _: Path) -> str:
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise Expected("a login name")
    return value


def _identity_files(value: Any, base: Path) -> tuple[Path, ...]:
    return tuple(read_path(item, base) for item in _list(value, "a path, or a list of paths"))


def _jump(value: Any, _: Path) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else _list(value, "a list of jump hosts")
    jumps = tuple(item.strip() for item in items)
    for jump in jumps:
        split_jump(jump)
    return jumps


def _boolean(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise Expected("true or false")
    return value


def _host_keys(value: Any, _: Path) -> tuple[str, ...]:
    keys = tuple(str(item).strip() for item in _list(value, "a list of public keys"))
    if not keys or not all(_HOST_KEY.fullmatch(key) for key in keys):
        raise Expected("a list of public keys such as `ssh-ed25519 AAAA…`")
    return keys


def _policy(value: Any, _: Path) -> str:
    if value not in {"strict", "accept-new"}:
        raise Expected("strict or accept-new")
    return str(value)


def _seconds(value: Any, _: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise Expected("a number of seconds, more than 0 and at most 3600")
    return float(value)


_READERS: Final[dict[str, Callable[[Any, Path], Any]]] = {
    "address": _address,
    "port": _port,
    "user": _user,
    "identity_files": _identity_files,
    "jump": _jump,
    "become": _boolean,
    "host_keys": _host_keys,
    "host_key_alias": _address,
    "known_hosts": read_path,
    "host_key_policy": _policy,
    "ssh_config": read_path,
    "connect_timeout": _seconds,
}
CONNECTION_KEYS: Final = tuple(_READERS)
assert set(CONNECTION_KEYS) == {item.name for item in dataclasses.fields(Connection)}
