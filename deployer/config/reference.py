"""The option tree for readers and editors: reference pages and JSON Schema."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from deployer.config.module import Module, Option
from deployer.config.types import NOTHING, AttributesOf, ListOf, NullOr, OptionType, Submodule
from deployer.errors import JsonValue

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

IMPORTS: Final[dict[str, JsonValue]] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def schema(options: Iterable[Option]) -> dict[str, JsonValue]:
    """JSON Schema (2020-12) of a configuration file. Interpolations are strings, so where one may stand any string may."""
    root: dict[str, Any] = {
        "type": "object",
        "properties": {"imports": {**IMPORTS, "description": "Files, directories and modules that this file builds on."}},
    }
    for option in options:
        *parents, leaf = option.path.split(".")
        node = root
        for parent in parents:
            empty = {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
            node = node["properties"].setdefault(parent, empty)
        described: dict[str, Any] = {**option.type.schema(), "description": option.description}
        if option.has_default:
            described["default"] = option.default
        if option.example is not None:
            described["examples"] = [option.example]
        node["properties"][leaf] = described
    return {"$schema": DIALECT, "title": "deployer configuration", **root, "additionalProperties": False}


def reference(modules: Iterable[Module]) -> str:
    """The reference page of all options, in Markdown."""
    lines = [
        "# Options",
        "",
        "Every option of a configuration file, by module. This page is generated from the modules:"
        " `deployer option --reference`.",
    ]
    for module in modules:
        lines += ["", f"## {module.name}", "", module.description]
        for option in module.options.values():
            lines += ["", *describe(option)]
    return "\n".join(lines) + "\n"


def describe(option: Option) -> Iterator[str]:
    """One option as lines of Markdown."""
    yield f"### `{option.path}`"
    yield ""
    yield option.description
    yield ""
    yield f"- Type: {option.type.description}"
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
