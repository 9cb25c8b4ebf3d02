"""What to do about drift: a pure decision."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployer.errors import ConfigurationError, Place, near
from deployer.formats.messages import DriftItem

KEYS: Final = ("policy", "ignore", "flapping_limit", "flapping_window", "back_off")


class PolicyWrong(ConfigurationError):
    """The `drift` of a host, or an option of the command line, is not a policy."""

    key: str
    found: str
    expected: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """The key and what was found."""
        return f"drift.{self.key}: {self.found} is not {self.expected}" if self.expected else f"`drift` has no key '{self.key}'"

    @property
    def remedy(self) -> str:
        """What would do."""
        if self.expected:
            return f"Give drift.{self.key} {self.expected}."
        names = near(self.key, KEYS)
        return f"Did you mean '{names[0]}'?" if names else f"Its keys are {', '.join(KEYS)}."


@dataclass(frozen=True, slots=True)
class Policy:
    """What a host wants done about its drift. The names of the fields are the keys of the host's variable `drift`."""

    policy: str = "report"
    """`report` or `repair`."""
    ignore: tuple[str, ...] = ()
    """Globs of targets (`/etc/motd`), or of `KIND:TARGET` (`unit:cron*`)."""
    flapping_limit: int = 3
    """So many repairs of one target within the window, and it is flapping."""
    flapping_window: float = 86400.0
    """Seconds."""
    back_off: float = 300.0
    """Seconds to wait after the first repair before the same target is repaired again; doubled with every further one."""

    @classmethod
    def parse(cls, raw: object, overrides: Mapping[str, object] | None = None, *, place: Place | None = None) -> Policy:
        """Read a host's variable `drift` (`report`, `repair`, or a mapping). Raises `PolicyWrong`."""
        match raw:
            case None:
                given: dict[str, Any] = {}
            case str():
                given = {"policy": raw}
            case Mapping():
                given = {str(key): value for key, value in raw.items()}
            case _:
                raise PolicyWrong("policy", repr(raw), "report, repair or a mapping", place)
        given.update({key: value for key, value in (overrides or {}).items() if value is not None})
        for key, value in given.items():
            expected = _expected(key, value)
            if expected is not None:
                raise PolicyWrong(key, repr(value), expected, place)
        given["ignore"] = tuple(given.get("ignore", ()))
        return cls(**given)

    def ignores(self, item: DriftItem) -> bool:
        """Whether a difference is none of our business."""
        return any(
            fnmatch.fnmatchcase(item.target, glob) or fnmatch.fnmatchcase(f"{item.kind}:{item.target}", glob)
            for glob in self.ignore
        )


class Verdict(enum.StrEnum):
    """What is done about a host's drift."""

    CLEAN = "clean"
    REPORT = "report"
    REPAIR = "repair"
    BACK_OFF = "back-off"
    """It was repaired a short while ago and has come back: wait."""
    FLAPPING = "flapping"
    """It keeps coming back: something else writes it, and a person must find out what."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what it is about."""

    verdict: Verdict
    items: tuple[DriftItem, ...] = ()
    """That are not ignored."""
    because: tuple[DriftItem, ...] = ()
    """Of those, the ones that keep it from being repaired."""
    until: float = 0.0
    """With `BACK_OFF`: when it may be repaired again."""


def decide(
    policy: Policy, items: Sequence[DriftItem], repairs: Mapping[tuple[str, str], Sequence[float]], now: float
) -> Decision:
    """What to do. `repairs` tells when each kind and target was repaired before (`History.repairs_of`).

    A repair sets right all that has drifted on a host, so one flapping target holds back the whole host.
    """
    relevant = tuple(item for item in items if not policy.ignores(item))
    if not relevant:
        return Decision(Verdict.CLEAN)
    if policy.policy != "repair":
        return Decision(Verdict.REPORT, relevant)
    recent = {
        item: [moment for moment in repairs.get((item.kind, item.target), ()) if now - policy.flapping_window <= moment <= now]
        for item in relevant
    }
    flapping = tuple(item for item, moments in recent.items() if len(moments) >= policy.flapping_limit)
    if flapping:
        return Decision(Verdict.FLAPPING, relevant, flapping)
    ready = {item: moments[-1] + policy.back_off * 2 ** (len(moments) - 1) for item, moments in recent.items() if moments}
    waiting = tuple(item for item, moment in ready.items() if moment > now)
    if waiting:
        return Decision(Verdict.BACK_OFF, relevant, waiting, max(ready[item] for item in waiting))
    return Decision(Verdict.REPAIR, relevant)


def _expected(key: str, value: object) -> str | None:
    """What a key's value must be, where it is not; an empty text for an unknown key; None: all is well."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match key:
        case "policy":
            return None if value in {"report", "repair"} else "report or repair"
        case "ignore":
            fits = isinstance(value, list | tuple) and all(isinstance(glob, str) for glob in value)
            return None if fits else "a list of globs"
        case "flapping_limit":
            return None if number and isinstance(value, int) and value >= 1 else "a whole number of at least 1"
        case "flapping_window" | "back_off":
            return None if number and value >= 0 else "a number of seconds"  # type: ignore[operator]
        case _:
            return ""
