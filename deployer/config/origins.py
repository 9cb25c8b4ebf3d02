"""Where a value comes from: every definition of an option, or of what is nested in it, and which of them hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployer.config.compounds import NullOr
from deployer.config.definitions import DEFAULT, FORCE, NORMAL, OPTION_DEFAULT, Definition, define
from deployer.config.host_view import MISSING
from deployer.config.mappings import AttributesOf, Submodule
from deployer.config.merging import NOTHING, OptionType, strongest
from deployer.config.module import Option
from deployer.errors import Place

_WORDS: Final = {FORCE: "force", NORMAL: "normal", DEFAULT: "default", OPTION_DEFAULT: "its default"}


@dataclass(frozen=True, slots=True)
class Origin:
    """One definition of a value."""

    place: Place | None
    value: Any
    """As it was written: `${…}` is not replaced."""
    priority: int
    holds: bool
    """Whether it is part of the value, or others are stronger."""
    unmet: bool = False
    """Whether it stands below a condition that does not hold."""

    @property
    def weight(self) -> str:
        """The priority in a word, as it is written; of what does not count, that."""
        return "unmet" if self.unmet else _WORDS.get(self.priority, str(self.priority))


def origins(
    option: Option, definitions: Sequence[Definition], keys: Sequence[str], unmet: Sequence[Definition] = ()
) -> tuple[Origin, ...]:
    """The definitions of an option, or of what the keys lead to in it: those that hold first, then by priority, and last
    those whose conditions are `unmet`."""
    every = [*definitions]
    if option.has_default:
        default = define(option.default, option.declared)
        every.append(Definition(default.value, option.declared, OPTION_DEFAULT, literal=True))
    found = [*_nested([(one, True) for one in every], keys)]
    if not found and keys and (value := _field_default(option.type, keys)) is not MISSING:
        return (Origin(option.declared, value, OPTION_DEFAULT, holds=True),)
    made = [Origin(one.place, one.plain(), one.priority, holds) for one, holds in found]
    left_out = _nested([(one, False) for one in unmet], keys)
    made += [Origin(one.place, one.plain(), one.priority, holds=False, unmet=True) for one, _ in left_out]
    return tuple(sorted(made, key=lambda one: (one.unmet, not one.holds, one.priority)))


def _nested(given: Sequence[tuple[Definition, bool]], keys: Sequence[str]) -> Iterator[tuple[Definition, bool]]:
    """Within a mapping only the strongest definitions count; what stands in the others does not hold, however strong."""
    candidates = [one for one, holds in given if holds]
    strong = {id(one) for one in strongest(candidates)} if candidates else set()
    judged = [(one, id(one) in strong) for one, _ in given]
    if not keys:
        yield from judged
        return
    inner = [(one.value[keys[0]], holds) for one, holds in judged if isinstance(one.value, dict) and keys[0] in one.value]
    yield from _nested(inner, keys[1:])


def _field_default(kind: OptionType, keys: Sequence[str]) -> Any:
    """What a submodule's field, or something within it, has where nobody says anything."""
    match kind:
        case NullOr(inner=inner):
            return _field_default(inner, keys)
        case AttributesOf(inner=inner):
            return _field_default(inner, keys[1:]) if len(keys) > 1 else MISSING
        case Submodule(fields=fields) if keys[0] in fields:
            field = fields[keys[0]]
            if len(keys) > 1:
                return _field_default(field.type, keys[1:])
            return MISSING if field.default is NOTHING else field.default
    return MISSING
