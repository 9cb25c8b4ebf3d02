"""What the controller asks of a host's runtime, and what it is told.

Each request is a `J` frame `{"id": N, "verb": VERB, …}`. Its answers carry the same id: any number of
`{"id": N, "event": {…}}`, then one `{"id": N, "ok": {…}}` or `{"id": N, "error": {…}}` (`DeployerError.to_json`).
Requests are served one at a time, in order. The event `{"alive": true}` may come at any time, and only says that the host is
still at work: a runtime from before there was that sends none.

    hello      asks nothing → `HostFacts`
    missing    `paths`: store paths, `files`: nix-base-32 hashes of single files
               → `missing`: those paths not valid here, `held`: those files held here
    import     `compression`, `paths`: how many; then `D` frames and `E`: the path stream (`formats.pathstream`)
               → `registered`: the paths; an event `{"registered": PATH}` for each
    adopt      `path`, `nar_hash`, `nar_size`: a Python that the host was sent, to be kept and run from now on → nothing
    plan       `system`, `manifest` (JSON text), `repair`, `generation`, `goal` → `Plan`
    push       `system` → nothing; from here on the collector leaves it alone
    activate   an `Activation` → `Outcome` at `healthy`, `rolled-back` or `rollback-failed`; at `staged` where its goal is `boot`;
               events `{"state": …}`, `{"action": Action}`, `{"check": CheckResult}`, `{"log": LINE}`
    attach     `transaction` → as `activate`, from the beginning of that transaction
    confirm    `transaction`, `token` → `Outcome` at `confirmed`; error `ConfirmRefused`
    cancel     `transaction`, `reason` → `Outcome` at `rolled-back`
    reboot     `transaction`: that was staged → nothing; the connection may break before the answer
    unstage    asks nothing → `unstaged`: whether anything was
    manifest   `system` → `manifest`: the text of its manifest.json
    status     asks nothing → `HostStatus`
    check      asks nothing → `checks`: list of `CheckResult` of the current generation, run once now
    observe    `ignore`: globs of targets → `drift`: list of `DriftItem`
    generations  asks nothing → `generations`: list of `Generation`
    compare    `before`, `after`: numbers of generations → `GenerationDifference`
    pin        `generation`, `pinned` → nothing; error `GenerationUnknown`
    delete     `generations`: numbers, as strings; `dry_run` → `Collection`; errors `GenerationUnknown`, `GenerationNeeded`
    collect    `dry_run`, `keep`, `keep_for`: instead of what the configuration says → `Collection`
    uninstall  `dry_run`, `discard_kept` → `actions`: list of `Action`; error `KeptFiles`
"""

from __future__ import annotations

from typing import Any, Dict, Final, Mapping, Tuple, Type, TypeVar

from deployer.errors import JsonValue
from deployer.formats.frames import FrameRefused
from deployer.records import Record, fields_of

PROTOCOL: Final = 1

ALIVE: Final[Dict[str, JsonValue]] = {"alive": True}
"""An event of no request in particular: the host is still at work on it."""

PREPARED: Final = "prepared"
STAGED: Final = "staged"
"""No state of a transaction: the next boot will begin it."""
ARMED: Final = "armed"
SWITCHING: Final = "switching"
CHECKING: Final = "checking"
HEALTHY: Final = "healthy"
RESTARTED: Final = "restarted"
CONFIRMED: Final = "confirmed"
ROLLING_BACK: Final = "rolling-back"
ROLLED_BACK: Final = "rolled-back"
ROLLBACK_FAILED: Final = "rollback-failed"

_M = TypeVar("_M", bound="Message")


class Message(Record):
    """A record of strings, numbers, booleans, mappings of strings, and lists of messages or strings."""

    def to_document(self) -> Dict[str, JsonValue]:
        """As JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields_of(type(self))}

    @classmethod
    def from_document(cls: Type[_M], document: JsonValue) -> _M:
        """Parse what the other side sent. Unknown keys are refused. Raises `FrameRefused`."""
        if not isinstance(document, dict):
            raise FrameRefused(f"a {cls.__name__} is not an object")
        members: Mapping[str, Type[Message]] = getattr(cls, "MEMBERS", {})
        arguments: Dict[str, Any] = {}
        for field in fields_of(cls):
            if field.name in document:
                arguments[field.name] = _restore(
                    document[field.name], str(field.type), members.get(field.name), f"{cls.__name__}.{field.name}"
                )
        unknown = set(document) - {field.name for field in fields_of(cls)}
        if unknown:
            raise FrameRefused(f"a {cls.__name__} has an unknown key {sorted(unknown)[0][:80]!r}")
        try:
            return cls(**arguments)
        except TypeError:
            raise FrameRefused(f"a {cls.__name__} lacks a key") from None


class Action(Message):
    """One thing that an activation does (or would do) to a host."""

    kind: str
    """`etc`, `unit`, `user-unit`, `user`, `group`, `home`, `sysctl`, `tmpfiles`, `environment`, `generation`, `store`,
    `kept`: what people wrote by hand, and `host`: what the host has by itself."""
    operation: str
    """`add` `change` `remove` `replace` `restore` `lock` `unlock` `discard`; of units: `start` `stop` `restart` `reload`
    `skip`; of what is the host's own: `use`."""
    target: str
    """The path, unit, account or key; of a user's unit `USER/UNIT`."""
    because: str = ""
    """Why, where that is not plain: `the unit changed: ExecStart`."""


class Problem(Message):
    """Why an activation is refused before anything has changed."""

    target: str
    message: str
    remedy: str


class Plan(Message):
    """What an activation would do on one host."""

    MEMBERS = {"actions": Action, "problems": Problem}

    system: str
    previous: str
    """Store path of the system that is current now; empty: none."""
    generation: int
    """The number that the next generation would get."""
    actions: Tuple[Action, ...] = ()
    problems: Tuple[Problem, ...] = ()


class Activation(Message):
    """The request to make a system current."""

    system: str
    transaction: str
    """32 hexadecimal digits, random."""
    controller: str
    """Who deploys, for people: `alice@laptop`."""
    token_sha256: str
    """Hexadecimal; whoever confirms must bring what hashes to this."""
    previous: str = ""
    """The system that must be current now; anything else is refused."""
    epoch: int = 0
    """Of the rollout: a host that has seen a higher one refuses."""
    generation: int = 0
    """Of an earlier generation to return to; 0: a new one."""
    repair: bool = False
    """Set right what has drifted from the current generation; `system` is the current one."""
    goal: str = ""
    """`switch` (also where it is empty), `test`, or `boot`: then nothing is done before the next boot."""
    reboot: bool = False
    """With `boot`: whether the controller has the host rebooted, waits to confirm it, and lets it reboot once more to go back."""
    actions: Tuple[Action, ...] = ()
    """Where `exact`: what must be done, no more and no less; otherwise refused before anything changes."""
    exact: bool = False

    MEMBERS = {"actions": Action}


class CheckResult(Message):
    """How a check ended."""

    name: str
    healthy: bool
    message: str
    attempts: int = 1
    seconds: float = 0.0
    """From the beginning of the checks until this was known."""
    was_red_before: bool = False
    """Whether it was red before the activation too."""
    kind: str = ""
    """`http`, `unit` …"""
    from_controller: bool = False
    """Whether the controller probed, and not the host."""


class Outcome(Message):
    """How an activation stands."""

    MEMBERS = {"actions": Action, "checks": CheckResult}

    transaction: str
    state: str
    generation: int
    """The current one, in that state."""
    system: str
    reason: str = ""
    """Why it was rolled back."""
    actions: Tuple[Action, ...] = ()
    """What was done, in order."""
    checks: Tuple[CheckResult, ...] = ()
    log: Tuple[str, ...] = ()
    """The last lines of the journal of what failed."""
    confirm_seconds: float = 0.0
    """At `healthy`: how long the host waits for the confirmation."""
    reboots: bool = False
    """Whether the host, having gone back, reboots once more."""
    restarts: int = 0
    """How often the host was restarted since, and began to wait for a confirmation anew."""


class HostFacts(Message):
    """What a host is."""

    protocol: int
    hostname: str
    distribution: str
    """`debian 12`."""
    machine: str
    """`x86_64`."""
    python: str
    systemd: int
    boot_id: str
    free_bytes: int
    free_inodes: int
    compressions: Tuple[str, ...]
    """What the runtime can decompress, best first."""
    has_nix: bool
    interpreter: str = ""
    """Store path of the Python that it was brought; empty where it has its own."""


class Generation(Message):
    """One generation of a host."""

    number: int
    system: str
    created: str
    """ISO 8601, UTC, by the host's clock; for people."""
    controller: str
    current: bool
    booted: bool = False
    """Whether this boot began with it."""
    pinned: bool = False
    kept: Tuple[str, ...] = ()
    """Why it is kept, for people; empty: the next collection takes it."""
    bytes: int = 0
    """Of its closure, unpacked; told by `generations` only."""


class HostStatus(Message):
    """How a host stands."""

    MEMBERS = {"generations": Generation}

    state: str
    """A state of the transaction under way, or of the last one; empty: there never was one."""
    transaction: str
    reason: str
    generation: int
    system: str
    epoch: int
    next_boot: int = -1
    """The generation that the next boot brings, where that is not the current one (0: none); otherwise -1."""
    staged: bool = False
    """Whether the next boot is to try it, and not to bring it back."""
    generations: Tuple[Generation, ...] = ()


class PackageChange(Message):
    """One package of which two closures hold different versions, or notably different amounts."""

    name: str
    removed: Tuple[str, ...]
    """Versions; empty for a package that has none."""
    added: Tuple[str, ...]
    bytes: int
    """How much larger its paths are together."""


class GenerationDifference(Message):
    """What differs between two generations of one host."""

    MEMBERS = {"actions": Action, "packages": PackageChange}

    before: int
    after: int
    bytes_before: int
    """Of the closure, unpacked."""
    bytes_after: int
    actions: Tuple[Action, ...] = ()
    """What turns the declarations of one into those of the other, on a host that stands as declared."""
    packages: Tuple[PackageChange, ...] = ()


class Collection(Message):
    """What was, or would be, removed from a host."""

    MEMBERS = {"generations": Generation}

    generations: Tuple[Generation, ...] = ()
    paths: Tuple[str, ...] = ()
    bytes: int = 0
    """Of the paths, unpacked; less is freed where files are shared."""


class DriftItem(Message):
    """One difference between what the current generation declares and what the host shows."""

    kind: str
    """`generation`, `etc`, `unit`, `user`, `group`, `home`, `sysctl`."""
    target: str
    declared: str
    observed: str


def _plain(value: Any) -> JsonValue:
    if isinstance(value, Message):
        return value.to_document()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {**value}
    return value  # type: ignore[no-any-return]


_SCALARS: Final[Mapping[str, Tuple[type, ...]]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _restore(value: JsonValue, annotation: str, member: Any, where: str) -> Any:
    if annotation.startswith("Tuple"):
        if not isinstance(value, list):
            raise FrameRefused(f"{where} is not a list")
        if member is not None:
            return tuple(member.from_document(item) for item in value)
        if not all(isinstance(item, str) for item in value):
            raise FrameRefused(f"{where} holds something that is not a string")
        return tuple(value)
    if annotation == "Mapping[str, str]":
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise FrameRefused(f"{where} is not an object of strings")
        return dict(value)
    expected = _SCALARS[annotation]
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise FrameRefused(f"{where} is not of type {annotation}")
    return value
