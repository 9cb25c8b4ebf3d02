"""The verbs of the protocol that are about generations: `generations`, `compare`, `pin`, `delete`, `collect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Final

from deployer.errors import JsonValue
from deployer.host import collecting
from deployer.host.machine import Machine
from deployer.host.refusals import RequestRefused
from deployer.store import Store

if TYPE_CHECKING:
    from deployer.host.request import Request

_LONGEST_NUMBER: Final = 18


def answer(machine: Machine, store: Store, request: Request) -> Dict[str, JsonValue]:
    """One request, and what it asked for. Raises what `collecting` raises, and `RequestRefused`."""
    verb, dry_run = request.string("verb"), request.flag("dry_run")
    if verb == "generations":
        return {"generations": [one.to_document() for one in collecting.generations(machine, store)]}
    if verb == "compare":
        before, after = request.number("before"), request.number("after")
        return collecting.compare_generations(machine, store, before, after).to_document()
    if verb == "pin":
        collecting.pin(machine, request.number("generation"), pinned=request.flag("pinned"))
        return {}
    if verb == "delete":
        numbers = [_number(text) for text in request.strings("generations")]
        return collecting.delete_generations(machine, store, numbers, dry_run=dry_run).to_document()
    keep_for = float(request.number("keep_for")) if request.has("keep_for") else None
    keep = request.number("keep")
    return collecting.collect_generations(machine, store, dry_run=dry_run, keep=keep, keep_for=keep_for).to_document()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER):
        raise RequestRefused("a generation is not a number")
    return int(text)
