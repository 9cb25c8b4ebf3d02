"""The option tree for readers and editors: reference pages and JSON Schema."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deployer.config import configuration_file
from deployer.config.module import Module, Option, Renamed
from deployer.config.types import NOTHING, AttributesOf, Field, ListOf, NullOr, OptionType, Submodule
from deployer.errors import JsonValue

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema(options: Iterable[Option], renamed: Iterable[Renamed] = ()) -> dict[str, JsonValue]:
    """JSON Schema (2020-12) of a configuration file. Interpolations are strings, so where one may stand any string may.

    Editors complete `properties`; what is internal is allowed by a pattern, and not offered. Old names are deprecated.
    """
    root: dict[str, Any] = {"type": "object", "properties": dict(configuration_file.SCHEMA)}
    by_path = {option.path: option for option in options}
    for option in by_path.values():
        group, leaf = _group(root, option.path)
        if option.internal:
            group.setdefault("patternProperties", {})[f"^{re.escape(leaf)}$"] = _described(option)
        else:
            group["properties"][leaf] = _described(option)
    for one in renamed:
        group, leaf = _group(root, one.path)
        group["properties"][leaf] = {
            **by_path[one.to].type.schema(),
            "description": f"It is called `{one.to}` now.",
            "deprecated": True,
        }
    return {
        "$schema": DIALECT,
        "title": "deployer configuration",
        **root,
        "additionalProperties": False,
        "$defs": dict(configuration_file.SCHEMA_DEFINITIONS),
    }


def _group(root: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """What an option stands in, and its name there."""
    *parents, leaf = path.split(".")
    for parent in parents:
        empty = {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
        root = root["properties"].setdefault(parent, empty)
    return root, leaf


def _described(option: Option) -> dict[str, Any]:
    described: dict[str, Any] = {**option.type.schema(), "description": option.description}
    if option.read_only:
        described["readOnly"] = True
    if option.has_default:
        described["default"] = option.default
    if option.example is not None:
        described["examples"] = [option.example]
    return described


def reference(modules: Iterable[Module]) -> str:
    """The reference page of all options, in Markdown."""
    lines = [
        "# Options",
        "",
        "Every option of a configuration file, by module. This page is generated from the modules:"
        " `deployer option --reference`.",
        "",
        "A file may have these keys besides, of which [configuration](../explanation/configuration.md) tells more:",
        "",
        *(f"- `{key}`: {configuration_file.SCHEMA[key]['description']}" for key in sorted(configuration_file.HEADS)),
    ]
    for module in modules:
        lines += ["", f"## {module.name}", "", module.description]
        for option in module.options.values():
            if not option.internal:
                lines += ["", *describe(option), f"- Declared at {_link(option)}"]
        for renamed in module.renamed.values():
            lines += ["", f"`{renamed.path}` is called `{renamed.to}` now."]
    return "\n".join(lines) + "\n"


def _link(option: Option) -> str:
    """To the line of a module of the library, from the page."""
    name, line = Path(option.declared.file).name, option.declared.line
    return f"[modules/{name}:{line}](../../modules/{name}#L{line})"


def find_field(option: Option, rest: str) -> Field | None:
    """What stands at a dotted path below an option: below a mapping by name, any name is one. None where nothing may."""
    return _find(option.type, rest)


def _find(kind: OptionType, rest: str) -> Field | None:
    match kind:
        case NullOr(inner=inner) | ListOf(inner=inner):
            return _find(inner, rest)
        case AttributesOf(inner=inner):
            # Names may hold dots, so that it can't be told where one ends: the longest that leads somewhere is taken.
            ends = [at for at, letter in enumerate(rest) if letter == "."][::-1]
            found = (_find(inner, rest[at + 1 :]) for at in ends)
            return next((one for one in found if one is not None), Field(inner, "One of them."))
        case Submodule(fields=fields, open=other):
            first, _, below = rest.partition(".")
            if first in fields:
                return _find(fields[first].type, below) if below else fields[first]
            return Field(other, "Any other.") if other is not None and not below else None
    return None


def describe(option: Option) -> Iterator[str]:
    """One option as lines of Markdown."""
    yield f"### `{option.path}`"
    yield ""
    yield option.description
    yield ""
    yield f"- Type: {option.type.description}"
    if option.read_only:
        yield "- Read-only: it can be referred to, and not defined."
    if option.has_default:
        yield f"- Default: `{_literal(option.default)}`"
    if option.example is not None:
        yield f"- Example: `{_literal(option.example)}`"
    for name, text in fields(option.type):
        yield f"- `{name}`: {text}"


def fields(kind: OptionType) -> Iterator[tuple[str, str]]:
    """What may stand within a value, by name."""
    match kind:
        case AttributesOf(inner=inner) | ListOf(inner=inner) | NullOr(inner=inner):
            yield from fields(inner)
        case Submodule():
            for name, field in kind.fields.items():
                default = "" if field.default is NOTHING else f" Default: `{_literal(field.default)}`."
                yield name, f"{field.description} ({field.type.description}){default}"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value.replace("\n", "\\n") if value else '""'
        case Mapping():
            return "{" + ", ".join(f"{key}: {_literal(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_literal(item) for item in value) + "]"
    return str(value)


if __name__ == "__main__":
    from deployer.config.library import all_modules

    sys.stdout.write(reference(all_modules()))
