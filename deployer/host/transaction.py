"""The transaction as a pure state machine: what is recorded, and what an event makes of it.

Nothing here touches a host. The driver (`deployer.host.activate`) does the work that a state asks for, turns how it ended
into an event, asks `advance` for the next record, writes that to the journal, and goes on: whoever drives (the service that
began it, the timer, the boot unit, a cancellation) runs the same code from the same table.

    state            its work                          ends in
    prepared         nothing                           armed
    armed            set the dead-man's switch         switching; rolled-back (nothing has changed yet)
    switching        change the host                   checking; rolling-back
    checking         run the checks                    healthy; rolling-back
    healthy          wait for the confirmation         confirmed; rolling-back
    restarted        set the switch again, and wait    checking; rolling-back
                     until the host has booted
    rolling-back     put everything back               rolled-back; rolling-back again; rollback-failed
    confirmed, rolled-back, rollback-failed            tidy up; terminal
    uninstalling     remove all that is ours           uninstalled
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Dict, Final, Mapping, Optional, Tuple

from deployer.errors import JsonValue
from deployer.formats.messages import (
    ARMED,
    CHECKING,
    CONFIRMED,
    HEALTHY,
    PREPARED,
    RESTARTED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    ROLLING_BACK,
    SWITCHING,
)

NONE: Final = ""
"""No transaction yet."""
UNINSTALLING: Final = "uninstalling"
TEST: Final = "test"
"""A goal: the next boot brings back the generation that was the default."""
BOOT: Final = "boot"
"""A goal: begun by a boot, judged once the host is up."""
BACK: Final = "back"
"""A goal: begun by the boot after a test; what it brings back has been judged before."""
TERMINAL: Final = frozenset({NONE, CONFIRMED, ROLLED_BACK, ROLLBACK_FAILED})
MAX_ROLLBACK_ATTEMPTS: Final = 3
"""How many rollbacks may fail."""
MAX_CUTS: Final = 10
"""How often one may be cut off by a crash or a reboot. It is not its fault, unless it causes them: so not without end."""
_MAX_REASON: Final = 300
"""Characters: two reasons must fit into a journal slot in any script."""


class Event(enum.Enum):
    """What can happen to a transaction."""

    GO_ON = "go-on"
    """The work of the state ended well."""
    FAIL = "fail"
    """The work of the state ended badly, or its time is over."""
    INTERRUPT = "interrupt"
    """Somebody else takes over from a driver that is gone: the timer, the sentinel, the next request, `cancel`."""
    REBOOT = "reboot"
    """The boot unit finds a transaction of an earlier boot."""
    COME_UP = "come-up"
    """The work of the state ended well in the middle of a boot, and what follows must wait until the host is up."""
    RETRY = "retry"
    """A person asks for one more rollback after the last one failed."""


@dataclass(frozen=True)
class Record:
    """All that the journal says about a transaction."""

    state: str = NONE
    transaction: str = ""
    controller: str = ""
    epoch: int = 0
    """The highest that this host has seen."""
    previous: str = ""
    """Store path of the system that is returned to; empty: the host as it was before us."""
    previous_generation: int = 0
    next: str = ""
    next_generation: int = 0
    fresh: bool = False
    """Whether `next_generation` is a new number, which goes away with a rollback."""
    repair: bool = False
    trivial: bool = False
    """Whether nothing but the profile changes: then no switch is armed, and nothing outside our directory is touched."""
    boot_id: str = ""
    deadline: float = 0.0
    """By CLOCK_BOOTTIME, of the boot `boot_id`: when the state's work must have ended."""
    token_sha256: str = ""
    attempts: int = 0
    """How many rollbacks have begun, besides those that were only cut off."""
    cuts: int = 0
    """How often one was cut off."""
    tries: int = 0
    """How many restarts of the host it may yet survive while it waits: counted down before the host boots into `next`."""
    restarts: int = 0
    """How many it has survived."""
    goal: str = ""
    """`TEST`, `BOOT` or `BACK`; empty: now, and from now on."""
    reboot: bool = False
    """Whether the host reboots once more where it goes back."""
    default_generation: int = 0
    """Of a test: what the boot after it brings."""
    default_system: str = ""
    superseded: str = ""
    """The transaction that the next boot would have begun when this one was prepared; it is not to, once this is confirmed."""
    reason: str = ""
    """Why it is rolled back."""
    created: str = ""
    """Wall time, for people."""

    def to_document(self) -> Dict[str, JsonValue]:
        """As JSON; what says nothing is left out."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Record:
        """Parse what `to_document` made, by this version or a newer one: the runtime of an older generation reads it too."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})

    @property
    def is_terminal(self) -> bool:
        """Whether nothing is under way."""
        return self.state in TERMINAL

    @property
    def system(self) -> str:
        """The system that is current once the transaction stands still in this state."""
        return self.previous if self.state in (ROLLED_BACK, ROLLING_BACK, ROLLBACK_FAILED, PREPARED, ARMED) else self.next

    @property
    def generation(self) -> int:
        """The generation that goes with `system`."""
        went_back = self.state in (ROLLED_BACK, ROLLING_BACK, ROLLBACK_FAILED, PREPARED, ARMED)
        return self.previous_generation if went_back else self.next_generation


_AGAIN: Final = " | while rolling back: "

TABLE: Final[Mapping[Tuple[str, Event], str]] = {
    (PREPARED, Event.GO_ON): ARMED,
    (PREPARED, Event.FAIL): ROLLED_BACK,
    (PREPARED, Event.INTERRUPT): ROLLED_BACK,
    (PREPARED, Event.REBOOT): ROLLED_BACK,
    (ARMED, Event.GO_ON): SWITCHING,
    (ARMED, Event.FAIL): ROLLED_BACK,
    (ARMED, Event.INTERRUPT): ROLLED_BACK,
    (ARMED, Event.REBOOT): ROLLED_BACK,
    (SWITCHING, Event.GO_ON): CHECKING,
    (SWITCHING, Event.COME_UP): RESTARTED,
    (SWITCHING, Event.FAIL): ROLLING_BACK,
    (SWITCHING, Event.INTERRUPT): ROLLING_BACK,
    (SWITCHING, Event.REBOOT): ROLLING_BACK,
    (CHECKING, Event.GO_ON): HEALTHY,
    (CHECKING, Event.FAIL): ROLLING_BACK,
    (CHECKING, Event.INTERRUPT): ROLLING_BACK,
    (CHECKING, Event.REBOOT): RESTARTED,
    (HEALTHY, Event.GO_ON): CONFIRMED,
    (HEALTHY, Event.FAIL): ROLLING_BACK,
    (HEALTHY, Event.INTERRUPT): ROLLING_BACK,
    (HEALTHY, Event.REBOOT): RESTARTED,
    (RESTARTED, Event.GO_ON): CHECKING,
    (RESTARTED, Event.FAIL): ROLLING_BACK,
    (RESTARTED, Event.INTERRUPT): ROLLING_BACK,
    (RESTARTED, Event.REBOOT): RESTARTED,
    (ROLLING_BACK, Event.GO_ON): ROLLED_BACK,
    (ROLLING_BACK, Event.FAIL): ROLLING_BACK,
    (ROLLING_BACK, Event.INTERRUPT): ROLLING_BACK,
    (ROLLING_BACK, Event.REBOOT): ROLLING_BACK,
    (ROLLBACK_FAILED, Event.RETRY): ROLLING_BACK,
    (UNINSTALLING, Event.FAIL): UNINSTALLING,
    (UNINSTALLING, Event.INTERRUPT): UNINSTALLING,
    (UNINSTALLING, Event.REBOOT): UNINSTALLING,
}
"""The next state. A pair that is not here changes nothing: terminal states stay as they are, whoever asks.

Two entries have bounds: `restarted` without tries left is `rolling-back`, and `rolling-back` for the fourth time, or cut off
for the eleventh, is `rollback-failed`.
"""


_KNOWN: Final = TERMINAL.union(state for state, _ in TABLE)
"""A state of a newer version, whose driver is gone: what it had done is in the undo log."""


def advance(record: Record, event: Event, reason: str = "") -> Record:
    """The record after an event. The first reason is kept: later ones are consequences."""
    state = TABLE.get((record.state, event))
    if record.state not in _KNOWN and event is not Event.RETRY:
        state = ROLLING_BACK
    if state is None:
        return record
    attempts, cuts, tries, restarts = record.attempts, record.cuts, record.tries, record.restarts
    if state == RESTARTED and event is Event.REBOOT:
        state, tries, restarts = (RESTARTED, tries - 1, restarts + 1) if tries > 0 else (ROLLING_BACK, tries, restarts)
    if state == ROLLING_BACK:
        if event is Event.RETRY:
            attempts, cuts = 1, 0
        elif record.state == ROLLING_BACK and event is not Event.FAIL:
            cuts += 1
        else:
            attempts += 1
        if attempts > MAX_ROLLBACK_ATTEMPTS or cuts > MAX_CUTS:
            state, attempts, cuts = ROLLBACK_FAILED, min(attempts, MAX_ROLLBACK_ATTEMPTS), min(cuts, MAX_CUTS)
    because = _one_line(reason)
    kept = record.reason or because
    if record.state == ROLLING_BACK and because:
        kept = f"{kept.split(_AGAIN)[0]}{_AGAIN}{because}"
    return dataclasses.replace(
        record,
        state=state,
        attempts=attempts,
        cuts=cuts,
        tries=tries,
        restarts=restarts,
        reason="" if state in (CONFIRMED, RESTARTED) else kept,
    )


def _one_line(text: str) -> str:
    """Printable, on one line, bounded: reasons come from programs."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return words[:_MAX_REASON]


@dataclass(frozen=True)
class Moment:
    """Now, as a host tells it: seconds of CLOCK_BOOTTIME, which goes on in suspend, and which boot they belong to."""

    seconds: float
    boot_id: str


def is_overdue(record: Record, now: Moment) -> bool:
    """Whether the time of the record's state is over. Another boot counts as over."""
    return record.boot_id != now.boot_id or now.seconds >= record.deadline


def is_resuming(record: Record, now: Moment) -> bool:
    """Whether the host boots into `next`, and its service is still to start: nobody drives then, and nobody need."""
    return record.state == RESTARTED and not is_overdue(record, now)


def is_for(record: Record, transaction: str, token: str) -> bool:
    """Whether a confirmation is for this transaction, from who began it."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return record.transaction == transaction and hmac.compare_digest(digest, record.token_sha256)


def refuse_confirmation(record: Record, transaction: str, token: str, now: Moment) -> Optional[str]:
    """Why a confirmation is not accepted; None where it is (also for one that was accepted before)."""
    if record.transaction != transaction:
        return "it is for another transaction"
    if not is_for(record, transaction, token):
        return "its token is not the one that was agreed on"
    if record.state == CONFIRMED:
        return None
    if record.state != HEALTHY:
        return f"the transaction is {record.state}"
    if is_overdue(record, now):
        return "it came too late"
    return None


def begin_refusal(record: Record, epoch: int) -> Optional[str]:
    """Why no new transaction may begin on this record; None where it may."""
    if epoch < record.epoch:
        return "fenced"
    if record.state == ROLLBACK_FAILED:
        return "broken"
    if not record.is_terminal:
        return "busy"
    return None
