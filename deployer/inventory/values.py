"""Single values: each is parsed once, from a plain value and the place that it stands at, and trusted from there on."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory.errors import (
    BadAddress,
    BadGroupName,
    BadHostKey,
    BadHostName,
    BadJump,
    BadPort,
    BadUser,
    WrongType,
)

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)
_GROUP_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", re.ASCII)
_USER: Final = re.compile(r"[A-Za-z0-9_.@+\\$][A-Za-z0-9_.@+\\$-]{0,127}", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_KEY_KIND: Final = re.compile(r"[a-z0-9@.-]{1,64}", re.ASCII)
_JUMP: Final = re.compile(r"(?:(?P<user>.*)@)?(?:\[(?P<bracketed>[^\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)


def host_name(text: str, place: Place) -> str:
    """The name of a host. Raises `BadHostName`."""
    if not is_host_name(text):
        raise BadHostName(place, text)
    return text


def is_host_name(text: str) -> bool:
    """Whether it is a host's name or an IP address."""
    return _HOST_NAME.fullmatch(text) is not None or is_ip(text)


def is_ip(text: str) -> bool:
    """Whether it is an IP address; an IPv6 address may have a zone."""
    plain, percent, zone = text.partition("%")
    try:
        version = ipaddress.ip_address(plain).version
    except ValueError:
        return False
    return not percent or (version == 6 and _ZONE.fullmatch(zone) is not None)


def group_name(text: str, place: Place) -> str:
    """The name of a group. Raises `BadGroupName`."""
    if not _GROUP_NAME.fullmatch(text):
        raise BadGroupName(place, text)
    return text


def address(value: object, place: Place) -> str:
    """Where a host is. Raises `BadAddress`."""
    if not isinstance(value, str) or not is_host_name(value):
        raise BadAddress(place, str(value))
    return value


def port(value: object, place: Place) -> int:
    """A port. Raises `BadPort`."""
    number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1 << 16:
        raise BadPort(place, repr(value))
    return number


def user(value: object, place: Place) -> str:
    """A login name. Raises `BadUser`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _USER.fullmatch(text):
        raise BadUser(place, str(value))
    return text


def jump(value: object, place: Place) -> tuple[str, ...]:
    """Jump hosts, `user@host:port`, one or several by commas, in a canonical form. Raises `BadJump`."""
    if not isinstance(value, str):
        raise BadJump(place, str(value))
    return tuple(_one_jump(part.strip(), place) for part in value.split(","))


def _one_jump(text: str, place: Place) -> str:
    text = text.removeprefix("ssh://")
    if is_ip(text):
        return join_jump(None, text, None)
    match = _JUMP.fullmatch(text)
    host = (match["bracketed"] or match["host"] or "") if match else ""
    if match is None or not is_host_name(host):
        raise BadJump(place, text)
    login = None if match["user"] is None else user(match["user"], place)
    return join_jump(login, host, None if match["port"] is None else port(match["port"], place))


def split_jump(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port of a jump host that `jump` gave."""
    match = _JUMP.fullmatch(text)
    assert match is not None
    return match["user"], match["bracketed"] or match["host"], int(match["port"]) if match["port"] else None


def join_jump(login: str | None, host: str, number: int | None) -> str:
    """A jump host as `jump` gives it."""
    bracketed = f"[{host}]" if ":" in host else host
    return (f"{login}@" if login else "") + bracketed + (f":{number}" if number else "")


def host_key(value: object, place: Place) -> str:
    """A public key, `KIND BASE64`. Raises `BadHostKey`."""
    words = value.split() if isinstance(value, str) else []
    if len(words) < 2 or not _KEY_KIND.fullmatch(words[0]):
        raise BadHostKey(place, str(value))
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise BadHostKey(place, str(value)) from None
    kind = words[0].encode()
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind) or len(blob) < len(kind) + 8:
        raise BadHostKey(place, str(value))
    return f"{words[0]} {words[1]}"


def path(base: Path) -> Callable[[object, Place], Path]:
    """Parses a path, relative to a directory; `~` is the user's home."""

    def parse(value: object, place: Place) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise WrongType(place, "a path", "text", describe(value))
        try:
            given = Path(value).expanduser()
        except RuntimeError:
            raise WrongType(place, "a path", "a path below a home that exists", describe(value)) from None
        return base / given

    return parse


def boolean(value: object, place: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongType(place, "this", "true or false", describe(value))
    return value


def policy(value: object, place: Place) -> str:
    """A policy for host keys."""
    if value not in {"strict", "accept-new"}:
        raise WrongType(place, "`host_key_policy`", "`strict` or `accept-new`", describe(value))
    return str(value)


def seconds(value: object, place: Place) -> float:
    """A time of at least a tenth of a second and at most an hour."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 3600:
        raise WrongType(place, "a time", "a number of seconds from 0.1 to 3600", describe(value))
    return float(value)


def describe(value: Any) -> str:
    """What a plain value is, in words for messages."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:80]!r}"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
    return f"a {type(value).__name__}"
