"""What a derivation demands of its outputs: to what they may refer, and how large they may be (Nix: `checkOutputs`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from deployer.build.attributes import Attributes, strings_of
from deployer.build.errors import AttributeRefused, OutputRefused, ReferenceRefused
from deployer.store import PathInfo

_LISTS = ("allowedReferences", "allowedRequisites", "disallowedReferences", "disallowedRequisites")
Closure = Callable[[str], Mapping[str, int]]
"""From an output to all that it refers to, itself among them, with the sizes."""


@dataclass(frozen=True, slots=True)
class _Demands:
    lists: Mapping[str, tuple[str, ...]]
    ignores_itself: bool
    max_size: int | None = None
    max_closure_size: int | None = None


def check_outputs(attributes: Attributes, made: Mapping[str, PathInfo], closure: Closure, store_directory: str) -> None:
    """Raises `ReferenceRefused`, `OutputRefused`, `AttributeRefused`."""
    paths = {name: info.path for name, info in made.items()}
    for name, info in made.items():
        demands = _demands(attributes, name)
        if demands.max_size is not None and info.nar_size > demands.max_size:
            raise OutputRefused(attributes.shown, info.path, f"it has {info.nar_size} bytes, and maxSize is {demands.max_size}")
        if demands.max_closure_size is not None and (size := sum(closure(info.path).values())) > demands.max_closure_size:
            reason = f"its closure has {size} bytes, and maxClosureSize is {demands.max_closure_size}"
            raise OutputRefused(attributes.shown, info.path, reason)
        for attribute, items in demands.lists.items():
            named = {_resolve(attributes, attribute, item, paths, store_directory) for item in items}
            used = set(closure(info.path) if attribute.endswith("Requisites") else info.references)
            if attribute.endswith("Requisites") and demands.ignores_itself:
                used.discard(info.path)
            if bad := used & named if attribute.startswith("disallowed") else used - named:
                raise ReferenceRefused(info.path, tuple(sorted(bad)), attribute)


def _demands(attributes: Attributes, output: str) -> _Demands:
    if attributes.structured is None:
        lists = {name: items for name in _LISTS if (items := attributes.strings(name)) is not None}
        return _Demands(lists, ignores_itself=True)
    checks: Any = attributes.structured.get("outputChecks") or {}
    wanted: Any = checks.get(output) or {} if isinstance(checks, dict) else None
    if not isinstance(wanted, dict):
        raise AttributeRefused(attributes.shown, "outputChecks", "must be an object of objects")
    return _Demands(
        {name: strings_of(wanted[name], attributes.shown, name) for name in _LISTS if name in wanted},
        ignores_itself=False,
        max_size=_number(attributes, wanted, "maxSize"),
        max_closure_size=_number(attributes, wanted, "maxClosureSize"),
    )


def _number(attributes: Attributes, wanted: Mapping[str, Any], name: str) -> int | None:
    value = wanted.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise AttributeRefused(attributes.shown, name, "must be a whole number")
    return value


def _resolve(attributes: Attributes, attribute: str, item: str, outputs: Mapping[str, str], store_directory: str) -> str:
    if item in outputs:
        return outputs[item]
    if item.startswith(f"{store_directory}/"):
        return item
    known: Collection[str] = sorted(outputs)
    raise AttributeRefused(attributes.shown, attribute, f"names {item!r}, which is no store path and no output ({known})")
