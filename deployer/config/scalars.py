"""Types of single values: text, numbers, times, names of packages, paths of files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deployer.config.definitions import Definition
from deployer.config.errors import MissingFile, UnknownPackage, did_you_mean
from deployer.config.inputs import look_at
from deployer.config.merging import NOTHING, REFERENCE, OptionType, Scope
from deployer.errors import JsonValue

STORE: Final = "/nix/store/"
"""What begins with this is made by building: it need not exist while a configuration is evaluated."""


@dataclass(frozen=True)
class Scalar(OptionType):
    """A single value that a predicate accepts."""

    description: str
    accepts: Callable[[Any], bool]
    json: Mapping[str, Any]
    convert: Callable[[Any], Any] = lambda value: value
    words: tuple[str, ...] = ()
    """All that it can be, where that is a few words."""

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The value itself."""
        value = scope.value_of(definition)
        if value is NOTHING:
            return NOTHING
        if isinstance(value, dict | list) or not self.accepts(value):
            scope.wrong(option, self.description, definition, value, self._advice(value, scope))
            return NOTHING
        return self.convert(value)

    def _advice(self, value: Any, scope: Scope) -> str:
        near = did_you_mean(value, self.words) if isinstance(value, str) else ""
        return f"{near} The option is declared at {scope.declared}." if near and scope.declared else near

    def schema(self) -> dict[str, JsonValue]:
        """As given; where it is no text, a reference to a value may stand instead."""
        plain_text = self.json.get("type") == "string" and "pattern" not in self.json
        return dict(self.json) if plain_text or not self.json else {"anyOf": [dict(self.json), dict(REFERENCE)]}


@dataclass(frozen=True)
class PackageName(OptionType):
    """The name of a package of the package set."""

    description: str = "the name of a package"

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The name."""
        value = scope.value_of(definition)
        if value is NOTHING:
            return NOTHING
        if not isinstance(value, str):
            scope.wrong(option, self.description, definition, value)
            return NOTHING
        if value not in scope.packages():
            scope.note(UnknownPackage(option, value, definition.place, tuple(scope.packages())))
            return NOTHING
        return value

    def schema(self) -> dict[str, JsonValue]:
        """Text."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class FilePath(OptionType):
    """A file or directory on the controller, relative to the file that says it, or one in a package."""

    description: str = "the path of a file or directory"

    def check(self, option: str, definition: Definition, scope: Scope) -> Any:
        """The absolute path, of something that exists."""
        value = scope.value_of(definition)
        if value is NOTHING:
            return NOTHING
        if not isinstance(value, str) or not value or "\0" in value:
            scope.wrong(option, self.description, definition, value)
            return NOTHING
        here = Path(definition.place.file).parent if definition.place is not None else Path("/")
        path = Path(os.path.normpath(here / value))
        look_at(path)
        if not str(path).startswith(STORE) and not path.exists():
            siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            scope.note(MissingFile(option, str(path), definition.place, did_you_mean(path.name, siblings)))
            return NOTHING
        return str(path)

    def schema(self) -> dict[str, JsonValue]:
        """Text."""
        return {"type": "string", "minLength": 1}


def text(description: str = "text", *, pattern: str = "", empty: bool = True, lines: bool = True) -> Scalar:
    """Text; `lines` says whether it may have several lines."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or "\0" in value or (not empty and not value):
            return False
        if not lines and re.search(r"[\n\r]", value):
            return False
        return not pattern or re.fullmatch(pattern, value) is not None  # compiled when there is a value, and kept by `re`

    json: dict[str, Any] = {"type": "string"}
    if pattern:
        json["pattern"] = rf"^(?:{pattern})$|\$\{{"
    elif not empty:
        json["minLength"] = 1
    return Scalar(description, accepts, json)


def integer(low: int | None = None, high: int | None = None, description: str = "") -> Scalar:
    """A whole number, perhaps within bounds."""
    bounds = f" of at least {low}" if low is not None else f" of at most {high}" if high is not None else ""
    if low is not None and high is not None:
        bounds = f" from {low} to {high}"
    return Scalar(
        description or f"a whole number{bounds}",
        lambda value: is_int(value) and within(value, low, high),
        {"type": "integer", **_limits(low, high)},
    )


def number(low: float | None = None, high: float | None = None, description: str = "a number") -> Scalar:
    """A number, perhaps with a fraction."""
    return Scalar(
        description,
        lambda value: (is_int(value) or isinstance(value, float)) and math.isfinite(value) and within(value, low, high),
        {"type": "number", **_limits(low, high)},
        float,
    )


def is_int(value: Any) -> bool:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def within(value: float, low: float | None, high: float | None) -> bool:
    """Whether a number is within bounds."""
    return (low is None or value >= low) and (high is None or value <= high)


def _limits(low: float | None, high: float | None) -> dict[str, float]:
    return ({} if low is None else {"minimum": low}) | ({} if high is None else {"maximum": high})


def enumeration(*values: str) -> Scalar:
    """One of a few words."""
    shown = " or ".join(f"'{value}'" for value in values)
    return Scalar(
        f"one of {shown}" if len(values) > 2 else shown,
        lambda value: isinstance(value, str) and value in values,
        {"enum": [*values]},
        words=values,
    )


_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_AMOUNT: Final = r"[0-9]{1,9}(?:\.[0-9]{1,6})? ?(?:ms|s|min|h|d)"
_DURATION: Final = re.compile(rf"{_AMOUNT}(?: ?{_AMOUNT})*")


def parse_duration(value: Any) -> float:
    """Seconds of a number, or of `90s`, `1min 30s`, `500ms`. Raises `ValueError`."""
    if is_int(value) or isinstance(value, float):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        seconds = sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(r"([0-9.]+) ?(ms|s|min|h|d)", value))
    else:
        raise ValueError(value)
    if not 0 <= seconds < 1e9:
        raise ValueError(value)
    return seconds


_SIZES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)")


def parse_size(value: Any) -> int:
    """Bytes of a number, or of `512M`, `1.5G`: powers of 1024. Raises `ValueError`."""
    match = _SIZE.fullmatch(str(value)) if is_int(value) or isinstance(value, str) else None
    if match is None:
        raise ValueError(value)
    return int(float(match[1]) * _SIZES[match[2]])


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or re.search(r"[\x00\n\r]", value) or len(value) > 1000:
        return False
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "_", value)
    if re.search(r"\(\?>|[*+?}]\+", plain):
        return False  # atomic groups and possessive repeats: hosts may have a Python that knows none
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is(parse: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        try:
            parse(value)
        except (ValueError, OverflowError):
            return False
        return True

    return accepts


def _written(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


boolean: Final = Scalar("true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
string: Final = text()
line: Final = text("one line of text", lines=False)
word: Final = text("text that is not empty, on one line", empty=False, lines=False)
name: Final = text("a name (letters, digits, . _ -)", pattern=r"[A-Za-z0-9_][A-Za-z0-9._-]*")
port: Final = integer(1, 65535, "a port number (1 to 65535)")
mode: Final = text("a file mode in octal, such as '0644'", pattern="0?[0-7]{3,4}")
absolute_path: Final = text("an absolute path", pattern=r"/[^\n]*")
package: Final = PackageName()
file: Final = FilePath()
duration: Final = Scalar(
    "a time: seconds, or such as '90s' or '1min 30s'",
    _is(parse_duration),
    {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": rf"^{_DURATION.pattern}$"}]},
    parse_duration,
)
seconds: Final = duration
size: Final = Scalar(
    "an amount of bytes, such as 1500, '512M' or '1.5G'",
    _is(parse_size),
    {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": rf"^{_SIZE.pattern}$"}]},
    parse_size,
)
regex: Final = Scalar(
    "a regular expression as Python 3.9 has them, on one line",
    _is_pattern,
    {"type": "string"},
)
setting: Final = Scalar(
    "one line of text, a number, or true or false",
    lambda value: isinstance(value, str | int | float) and not re.search(r"[\x00\n\r]|\\\Z", str(value)),
    {"type": ["string", "number", "boolean"]},
    _written,
)
"""The value of a unit's directive; true and false become yes and no. A backslash at its end would swallow the next line."""
