"""How a rollout goes over its hosts: who is first, how many at once, how much may fail, and what happens then."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from deployer.errors import DeployerError, JsonValue, Place, near, raise_all
from deployer.rollout.errors import StrategyKeyUnknown, StrategyValueWrong

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|)")
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Amount:
    """Some hosts: a count, or a percentage of those that the rollout changes."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """How many that is, rounded down."""
        return self.number * total // 100 if self.percent else self.number

    def at_least_one(self, total: int) -> int:
        """How many that is where none would be no progress."""
        return max(1, self.of(total))

    def __str__(self) -> str:
        """As it is written: `3` or `25%`."""
        return f"{self.number}{'%' if self.percent else ''}"


class OnFailure(enum.StrEnum):
    """What happens to the hosts that were changed, once the budget is spent."""

    STOP = "stop"
    """They stay as they are."""
    ROLLBACK_WAVE = "rollback-wave"
    """Those of the wave under way go back."""
    ROLLBACK_ALL = "rollback-all"
    """Every host that this rollout changed goes back."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One rollout's rules. The names of the fields are the keys of the inventory's `rollout`."""

    canary: Amount | str | tuple[str, ...] | None = None
    """How many hosts go first; or which: a selector, or a list of names."""
    waves: tuple[Amount, ...] | str | None = None
    """The sizes of the waves after the canary (the last is repeated), or the label whose values are the waves; none: one wave."""
    max_parallel: int = 10
    """Hosts that are changed at the same time."""
    one_per: str | None = None
    """A label that names failure domains: of hosts with an equal value at most one is changed at a time."""
    max_failures: Amount = Amount(0)
    """Hosts that may fail before the rollout stops."""
    max_unreachable: Amount = Amount(0)
    """Hosts that may be out of reach before the rollout stops."""
    canary_max_failures: Amount = Amount(0)
    """Hosts of the canary that may fail or be out of reach."""
    on_failure: OnFailure = OnFailure.STOP
    bake_time: float = field(default=0.0)
    """Seconds between the end of one wave and the start of the next."""

    @classmethod
    def parse(
        cls, raw: Mapping[str, object], overrides: Mapping[str, object] | None = None, *, place: Place | None = None
    ) -> Strategy:
        """Read the inventory's `rollout`, then the command line's `overrides` (those that are not None).

        Raises `StrategyKeyUnknown` and `StrategyValueWrong`, all of them together.
        """
        given = {**raw, **{key: value for key, value in (overrides or {}).items() if value is not None}}
        errors: list[DeployerError] = []
        values: dict[str, Any] = {}
        for key, value in given.items():
            reader = _READERS.get(key.replace("-", "_"))
            if reader is None:
                errors.append(StrategyKeyUnknown(key, near(key, KEYS), place))
                continue
            try:
                values[key.replace("-", "_")] = reader(key, value)
            except StrategyValueWrong as error:
                error.place = place
                errors.append(error)
        raise_all(errors)
        return cls(**values)

    def to_json(self) -> dict[str, JsonValue]:
        """As `parse` reads it; what is not set is left out."""
        document: dict[str, JsonValue] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            if item.name == "waves":
                document["waves"] = {"label": value} if isinstance(value, str) else [_written(size) for size in value]
            else:
                document[item.name] = [*value] if isinstance(value, tuple) else _written(value)
        return document


def _written(value: Any) -> JsonValue:
    if isinstance(value, Amount):
        return str(value) if value.percent else value.number
    return str(value) if isinstance(value, OnFailure) else value


def _amount(key: str, value: object, *, least: int) -> Amount:
    expected = f"a whole number or a percentage of at least {least}"
    number, percent = value, False
    if isinstance(value, str):
        percent = value.strip().endswith("%")
        digits = value.strip().removesuffix("%").strip()
        number = int(digits) if digits.isascii() and digits.isdecimal() else None
    if isinstance(number, bool) or not isinstance(number, int) or number < least or (percent and number > 100):
        raise StrategyValueWrong(key, repr(value), expected)
    return Amount(number, percent)


def _read_canary(key: str, value: object) -> Amount | str | tuple[str, ...] | None:
    match value:
        case None | "none" | 0 | "0":
            return None
        case list() | tuple() if value and all(isinstance(name, str) for name in value):
            return tuple(str(name) for name in value)
        case str() if value.strip() and not re.fullmatch(r"-?\d+\s*%?", value.strip()):
            return value.strip()
        case str() | int():
            return _amount(key, value, least=1)
    raise StrategyValueWrong(key, repr(value), "a count, a percentage, a selector or a list of hosts")


def _read_waves(key: str, value: object) -> tuple[Amount, ...] | str | None:
    match value:
        case None | "none":
            return None
        case {"label": str(label), **rest} if label and not rest:
            return label
        case str() if value.startswith("label:") and len(value) > len("label:"):
            return value.removeprefix("label:").strip()
        case str() if "," in value:
            return tuple(_amount(key, size, least=1) for size in value.split(","))
        case str() | int():
            return (_amount(key, value, least=1),)
        case list() if value:
            return tuple(_amount(key, size, least=1) for size in value)
    raise StrategyValueWrong(key, repr(value), "a count, a percentage, a list of those, or {label: NAME}")


def _read_budget(key: str, value: object) -> Amount:
    return _amount(key, value, least=0)


def _read_max_parallel(key: str, value: object) -> int:
    amount = _amount(key, value, least=1)
    if amount.percent:
        raise StrategyValueWrong(key, repr(value), "a whole number of at least 1")
    return amount.number


def _read_one_per(key: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value.strip() if isinstance(value, str) else None
    raise StrategyValueWrong(key, repr(value), "the name of a label")


def _read_on_failure(key: str, value: object) -> OnFailure:
    try:
        return OnFailure(str(value))
    except ValueError:
        raise StrategyValueWrong(key, repr(value), f"one of {', '.join(OnFailure)}") from None


def _read_seconds(key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _UNITS[match[2]]
    raise StrategyValueWrong(key, repr(value), "a time such as 90, 90s, 10m or 1h")


_READERS: Final = {
    "canary": _read_canary,
    "waves": _read_waves,
    "max_parallel": _read_max_parallel,
    "one_per": _read_one_per,
    "max_failures": _read_budget,
    "max_unreachable": _read_budget,
    "canary_max_failures": _read_budget,
    "on_failure": _read_on_failure,
    "bake_time": _read_seconds,
}
KEYS: Final = tuple(_READERS)
"""The keys of the inventory's `rollout`."""
