"""The type of a value that has a JSON Schema of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployer.config.compounds import Anything
from deployer.config.definitions import Definition
from deployer.config.errors import ConfigError, ModuleBroken
from deployer.config.merging import NOTHING, REFERENCE, OptionType, Scope
from deployer.errors import JsonValue, Place

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


class AgainstSchema(ConfigError):
    """A value that the option's own JSON Schema does not allow."""

    option: str
    reason: str
    place: Place | None
    declared: Place | None = None

    @property
    def message(self) -> str:
        """What the schema says of it."""
        return f"option '{self.option}': {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to read the schema."""
        return f"`deployer schema` shows what may stand here. The option is declared at {self.declared}."


@dataclass(frozen=True)
class BySchema(OptionType):
    """Whatever a JSON Schema (2020-12) allows. Mappings are merged by key, lists joined; the whole is then validated."""

    document: Mapping[str, Any]
    description: str

    def merge(self, option: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """As anything merges. Each fault is told at the definition that it is in."""
        failed_before, scope.failed = scope.failed, False
        value = Anything().merge(option, definitions, scope)
        if value is not NOTHING and not scope.failed:
            self._validate(option, value, definitions, scope)
        wrong, scope.failed = scope.failed, scope.failed or failed_before
        return NOTHING if wrong else value

    def _validate(self, option: str, value: Any, definitions: Sequence[Definition], scope: Scope) -> None:
        from jsonschema.exceptions import SchemaError
        from referencing.exceptions import Unresolvable

        try:
            found = sorted(self._validator.iter_errors(value), key=lambda one: [str(part) for part in one.absolute_path])
        except SchemaError as error:
            scope.note(_broken(option, f"its JSON Schema is none: {error.message}", scope))
            return
        except Unresolvable as error:
            scope.note(_broken(option, f"its JSON Schema refers to '{error.ref}', which is not in it", scope))
            return
        for one in found:
            keys = [*one.absolute_path]
            name = option + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
            scope.note(AgainstSchema(name, one.message[:200], _place(definitions, keys), scope.declared))

    @cached_property
    def _validator(self) -> Draft202012Validator:
        """Made when it is first needed. References lead nowhere but into the schema itself: evaluation reads no network."""
        from jsonschema import Draft202012Validator
        from referencing.jsonschema import EMPTY_REGISTRY

        Draft202012Validator.check_schema(self.document)
        return Draft202012Validator(dict(self.document), registry=EMPTY_REGISTRY)

    def part(
        self, option: str, definitions: Sequence[Definition], name: str, scope: Scope
    ) -> tuple[OptionType, list[Definition], Any] | None:
        """One name's."""
        return Anything().part(option, definitions, name, scope)

    def schema(self) -> dict[str, JsonValue]:
        """Its own. What it refers to is found by an identifier of its own, wherever the schema comes to stand."""
        own = dict(self.document)
        text = json.dumps(own, sort_keys=True)
        if '"$ref"' in text:
            own = {"$id": f"urn:sha256:{hashlib.sha256(text.encode()).hexdigest()}", **own}
        return {"anyOf": [own, dict(REFERENCE)]}


def _broken(option: str, reason: str, scope: Scope) -> ModuleBroken:
    module = Path(scope.declared.file).stem if scope.declared is not None else option
    return ModuleBroken(module, f"option '{option}': {reason}", scope.declared)


def _place(definitions: Iterable[Definition], keys: Sequence[str | int]) -> Place | None:
    """Where the nearest thing stands that some definition says about what the keys lead to."""
    given = [*definitions]
    place = given[0].named_at if given else None
    for key in keys:
        inner = [one.value[key] for one in given if isinstance(one.value, dict) and key in one.value]
        if len(given) == 1 and isinstance(given[0].value, list) and isinstance(key, int):
            inner = given[0].value[key : key + 1]
        if not inner:
            break
        given, place = inner, inner[0].place
    return place
