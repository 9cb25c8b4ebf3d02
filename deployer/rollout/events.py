"""What a rollout, and the builds before it, tell while they work: the one stream that screens, logs and history share.

Rooms never print. They hand these to an `EventSink`; the command line writes them as JSON, `ui` draws them, `history` keeps
them. Every event is a fact in the past: `to_json` names it in snake_case under `event`. The schema for users of
`--json` is docs/reference/json.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, ClassVar, Final, Self

from deployer.errors import JsonValue
from deployer.formats.messages import Action, CheckResult, Message
from deployer.records import Record, fields_of


class Event(Record):
    """One thing that has happened."""

    name: ClassVar[str] = ""
    """As JSON calls it, where that is not the class's name in snake_case."""

    @classmethod
    def event_name(cls) -> str:
        """`HostConfirmed` → `host_confirmed`."""
        return cls.name or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def to_json(self) -> dict[str, JsonValue]:
        """One JSON object: the event's name, then its fields."""
        fields = {item.name: _plain(getattr(self, item.name)) for item in fields_of(type(self))}
        return {"event": self.event_name(), **fields}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`, for events that were kept; unknown fields are dropped."""
        known = {item.name: item for item in fields_of(cls)}
        return cls(**{name: _restored(name, value) for name, value in fields.items() if name in known})


EventSink = Callable[[Event], None]
"""Takes events as they happen. Must be quick, and must not raise."""


class HostEvent(Event):
    """Something happened on, or to, one host."""

    host: str


# Before anything is activated


class HostConnected(HostEvent):
    """The host answered and said where it is."""

    generation: int = 0
    system: str = ""


class HostUnchanged(HostEvent):
    """The host already is where it should be."""

    generation: int = 0
    system: str = ""


class HostUnreachable(HostEvent):
    """The host could not be spoken to, or no longer."""

    error: Mapping[str, JsonValue] = field(default_factory=dict)
    """As `DeployerError.to_json` gives it."""


class BuildStarted(Event):
    """A derivation is being built."""

    derivation: str


class BuildLog(Event):
    """A build printed a line."""

    name: ClassVar[str] = "build_logged"

    derivation: str
    line: str


class BuildFinished(Event):
    """A build ended."""

    derivation: str
    succeeded: bool
    seconds: float = 0.0
    error: Mapping[str, JsonValue] = field(default_factory=dict)


class PathFetched(Event):
    """A store path came from a binary cache, or a file from its URL."""

    path: str
    bytes: int = 0
    source: str = ""


# One host's way from one generation to the next


class HostStarted(HostEvent):
    """The rollout has begun to change the host."""

    wave: int = 0


class PathCopied(HostEvent):
    """One store path is whole and registered on the host."""

    path: str
    bytes: int = 0


class ClosureCopied(HostEvent):
    """All that the system needs is on the host."""

    bytes: int = 0
    """That went over the wire."""
    paths: int = 0
    seconds: float = 0.0


class HostPhase(HostEvent):
    """The host's transaction reached a state of `formats.messages`: `prepared`, `armed`, `switching`, …"""

    name: ClassVar[str] = "host_phase_reached"

    state: str


class ActionDone(HostEvent):
    """The host did one thing of its plan."""

    action: Action


class CheckReported(HostEvent):
    """A health check ended."""

    result: CheckResult


class HostLog(HostEvent):
    """A line of the host's own log."""

    name: ClassVar[str] = "host_logged"

    line: str


# How it ended for one host


class HostConfirmed(HostEvent):
    """The new generation is permanent."""

    generation: int
    system: str = ""
    seconds: float = 0.0


class HostStaged(HostEvent):
    """The next boot will try the new generation; nothing has changed yet."""

    generation: int
    system: str = ""


class HostPushed(HostEvent):
    """The host holds all that the new system needs, and was not changed."""

    system: str = ""


class HostRolledBack(HostEvent):
    """The new generation was not good, and the host is where it was before."""

    reason: str
    log: tuple[str, ...] = ()
    generation: int = 0


class HostReturned(HostEvent):
    """The rollout took a host that had been changed back to the generation before."""

    generation: int
    system: str = ""
    reason: str = ""


class HostFailed(HostEvent):
    """Something failed before the host was changed."""

    error: Mapping[str, JsonValue]
    log: tuple[str, ...] = ()


class HostNeedsPerson(HostEvent):
    """The host could not be brought to a whole state without a person."""

    error: Mapping[str, JsonValue]
    log: tuple[str, ...] = ()


# The rollout as a whole


class RolloutStarted(Event):
    """Every host has been asked, and the waves are known. No waves: nothing needs change."""

    rollout: int
    waves: tuple[tuple[str, ...], ...] = ()
    unchanged: tuple[str, ...] = ()


class WaveStarted(Event):
    """A wave's first hosts may begin."""

    wave: int
    """Counts from 1."""
    of: int
    hosts: tuple[str, ...]
    canary: bool = False


class WaveFinished(Event):
    """Every host of a wave that was begun has ended."""

    wave: int
    succeeded: int
    failed: int
    unreachable: int


class BakeStarted(Event):
    """The rollout waits and watches before the next wave."""

    wave: int
    seconds: float


class RolloutStopped(Event):
    """No more hosts will be begun, and why."""

    reason: str


class RollbackStarted(Event):
    """Hosts that were changed are taken back."""

    hosts: tuple[str, ...]
    reason: str


class RolloutFinished(Event):
    """The rollout has ended."""

    rollout: int
    ending: str
    """`done`, `partial`, `stopped`, `rolled-back`, `cancelled`, `needs-person`."""
    exit_code: int
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Of every host, as `history.HostOutcome` calls it."""
    reason: str = ""
    seconds: float = 0.0


def parse_event(document: Mapping[str, Any]) -> Event | None:
    """An event from its JSON; nothing for one that this version does not know."""
    kind = _kinds().get(str(document.get("event")))
    if kind is None:
        return None
    try:
        return kind.from_fields({name: value for name, value in document.items() if name != "event"})
    except (TypeError, ValueError):
        return None


def event_names() -> tuple[str, ...]:
    """Of every kind of event."""
    return tuple(name for name, kind in _kinds().items() if kind not in {Event, HostEvent})


_MESSAGES: Final[Mapping[str, type[Message]]] = {"action": Action, "result": CheckResult}


def _kinds() -> dict[str, type[Event]]:
    """By name."""
    return {kind.event_name(): kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, Event)}


def _plain(value: Any) -> JsonValue:
    if isinstance(value, Message):
        return value.to_document()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value  # type: ignore[no-any-return]


def _restored(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name in _MESSAGES:
        return _MESSAGES[name].from_document(value)
    if isinstance(value, list):
        return tuple(_restored("", item) for item in value)
    return value
