"""The types of options: what each accepts, how it merges several definitions, and what it looks like in JSON Schema.

Single values are in `scalars`, mappings in `mappings`, what is made of others in `compounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deployer.config.compounds import Anything, ListOf, NullOr, OneOf, OneOrMany
from deployer.config.mappings import AttributesOf, Field, Submodule
from deployer.config.merging import NOTHING, OptionType, Scope, strongest
from deployer.config.scalars import (
    FilePath,
    PackageName,
    Scalar,
    absolute_path,
    boolean,
    duration,
    enumeration,
    file,
    integer,
    line,
    mode,
    name,
    number,
    package,
    port,
    regex,
    seconds,
    setting,
    size,
    string,
    text,
    word,
)

__all__ = [
    "NOTHING",
    "Anything",
    "AttributesOf",
    "Field",
    "FilePath",
    "ListOf",
    "NullOr",
    "OneOf",
    "OneOrMany",
    "OptionType",
    "PackageName",
    "Scalar",
    "Scope",
    "Submodule",
    "absolute_path",
    "anything",
    "attributes_of",
    "boolean",
    "duration",
    "enumeration",
    "file",
    "integer",
    "line",
    "list_of",
    "mode",
    "name",
    "null_or",
    "number",
    "one_of",
    "open_submodule",
    "package",
    "port",
    "regex",
    "seconds",
    "setting",
    "size",
    "string",
    "strongest",
    "submodule",
    "text",
    "word",
]


def list_of(inner: OptionType) -> ListOf:
    """A list."""
    return ListOf(inner)


def attributes_of(inner: OptionType, key: Callable[[str], str] | None = None) -> AttributesOf:
    """Names to values; `key` says what is wrong with a name."""
    return AttributesOf(inner, key) if key else AttributesOf(inner)


def null_or(inner: OptionType) -> NullOr:
    """Null, or something."""
    return NullOr(inner)


def submodule(kind: str, /, **fields: Field) -> Submodule:
    """A fixed set of named values."""
    return Submodule(fields, kind)


def open_submodule(kind: str, rest: OptionType, /, **fields: Field) -> Submodule:
    """Named values, and others of one type."""
    return Submodule(fields, kind, rest)


def one_of(*members: OptionType) -> OneOf:
    """Of several types the first that fits."""
    return OneOf(members)


anything: Final = Anything()
