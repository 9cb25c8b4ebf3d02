"""The types of options: what each accepts, how it merges several definitions, and what it looks like in JSON Schema.

Single values are in `scalars`, mappings in `mappings`, what is made of others in `compounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from deployer.config.by_schema import BySchema
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
from deployer.config.secrets import SecretFile, secret_file
from deployer.config.texts import JoinedText, lines
from deployer.config.unit_sections import unit_section
from deployer.errors import JsonValue

__all__ = [
    "NOTHING",
    "Anything",
    "AttributesOf",
    "BySchema",
    "Field",
    "FilePath",
    "JoinedText",
    "ListOf",
    "NullOr",
    "OneOf",
    "OneOrMany",
    "OptionType",
    "PackageName",
    "Scalar",
    "Scope",
    "SecretFile",
    "Submodule",
    "absolute_path",
    "anything",
    "attributes_of",
    "boolean",
    "duration",
    "enumeration",
    "file",
    "integer",
    "json_schema",
    "line",
    "lines",
    "list_of",
    "mode",
    "name",
    "null_or",
    "number",
    "one_of",
    "open_submodule",
    "package",
    "package_or_host",
    "port",
    "regex",
    "seconds",
    "secret_file",
    "separated",
    "setting",
    "size",
    "string",
    "strongest",
    "submodule",
    "text",
    "unique_list_of",
    "unit_section",
    "word",
]


def list_of(inner: OptionType) -> ListOf:
    """A list."""
    return ListOf(inner)


def unique_list_of(inner: OptionType) -> ListOf:
    """A list that has each item once, where it comes first."""
    return ListOf(inner, unique=True)


def separated(separator: str, description: str) -> JoinedText:
    """Text; several definitions are joined by a separator."""
    return JoinedText(separator, description)


def json_schema(document: Mapping[str, JsonValue], description: str) -> BySchema:
    """Whatever a JSON Schema (2020-12) allows. `description` completes "must be …"."""
    return BySchema(document, description)


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
package_or_host: Final = one_of(enumeration("host"), text("a package, as ${pkgs.NAME}", pattern=r"/nix/store/[^\s%\"]+"))
"""Where a module's program comes from: a package, or what the host has by itself."""
