"""The generations of a host and the space that they take: listing, pinning, deleting, collecting.

What decides is `retention`; what removes paths is the store's collector, beside which copies and activations may go on. The
host's lock is held only while generations go and the roots of the others are set.
"""

from __future__ import annotations

import contextlib
import time
from typing import FrozenSet, Iterator, Mapping, Optional, Sequence, Set, Tuple

from deployer.formats.manifest import Retention
from deployer.formats.messages import CONFIRMED, Collection, Generation, GenerationDifference, PackageChange
from deployer.host.boots import booted_generation
from deployer.host.comparing import compare
from deployer.host.ledger import Metadata
from deployer.host.lock import locked
from deployer.host.machine import COLLECT, Machine
from deployer.host.next_boot import read_next_boot
from deployer.host.paths import GOOD, PINNED, PROFILE, STATE_DIRECTORY
from deployer.host.prepare import busy, lay_out
from deployer.host.refusals import GenerationNeeded, GenerationUnknown, SystemLost
from deployer.host.retention import Known, needed_generations, reasons_to_keep, without_records
from deployer.host.settling import roots
from deployer.host.standing import PRIVATE
from deployer.host.transaction import Record
from deployer.store import PathNotValid, Store, collect
from deployer.store.difference import difference

_PATIENCE = 30.0
_DIRECTORY = Metadata(0o700, 0, 0)


def generations(machine: Machine, store: Optional[Store] = None) -> Tuple[Generation, ...]:
    """All, oldest first; with a store also their sizes."""
    known = known_generations(machine)
    kept = reasons_to_keep(known, policy_of(machine), time.time())
    return tuple(
        Generation(
            number=number,
            system=system,
            created=machine.clock.date(known.made[number]),
            controller="",
            current=number == known.current,
            booted=number == known.booted,
            pinned=number in known.pinned,
            kept=kept[number],
            bytes=_size(store, system) if store is not None else 0,
        )
        for number, system in known.systems.items()
    )


def known_generations(machine: Machine) -> Known:
    """Look at profile, journal and pins."""
    record, profile = machine.journal.read(), machine.profile
    systems, good = profile.generations(), machine.disk.entry(GOOD)
    recorded: Set[int] = {record.previous_generation}
    if not record.is_terminal:
        recorded.add(record.next_generation)
    following = read_next_boot(machine.disk)
    made = {number: _made(machine, number) for number in systems}
    return Known(
        systems=systems,
        made=made,
        current=profile.current().number,
        booted=booted_generation(machine),
        good=good.target if good is not None else "",
        recorded=frozenset(recorded if following is None else {*recorded, following.back_generation}),
        next_boot=following.generation if following is not None else 0,
        pinned=_pinned(machine),
    )


def policy_of(machine: Machine) -> Retention:
    """What the current generation says."""
    try:
        return machine.store.manifest(machine.profile.current().system).generations
    except SystemLost:
        return Retention()


def compare_generations(machine: Machine, store: Store, before: int, after: int) -> GenerationDifference:
    """Declarations, packages and sizes of two generations. Raises `GenerationUnknown`."""
    systems = machine.profile.generations()
    _require(systems, [before, after])
    one, other = (store.closure([systems[number]])[-1] for number in (before, after))
    packages = tuple(
        PackageChange(change.name, change.removed, change.added, change.bytes) for change in difference(store, one, other)
    )
    manifests = [machine.store.manifest(systems[number]) for number in (before, after)]
    sizes = [_size(store, systems[number]) for number in (before, after)]
    return GenerationDifference(before, after, sizes[0], sizes[1], compare(*manifests), packages)


def pin(machine: Machine, number: int, *, pinned: bool) -> None:
    """Keep a generation until it is unpinned, or no longer. Raises `GenerationUnknown`, `HostBusy`."""
    with locked(machine.disk, _PATIENCE) as ours:
        if not ours:
            raise busy(machine, machine.journal.read())
        _require(machine.profile.generations(), [number])
        lay_out(machine.disk)
        if pinned:
            if machine.disk.entry(PINNED) is None:
                machine.disk.make_directory(PINNED, _DIRECTORY)
            machine.disk.write(f"{PINNED}/{number}", b"", PRIVATE)
        else:
            machine.disk.remove(f"{PINNED}/{number}")


def delete_generations(machine: Machine, store: Store, numbers: Sequence[int], *, dry_run: bool) -> Collection:
    """Remove these generations, and what only they kept. Raises `GenerationUnknown`, `GenerationNeeded`, `HostBusy`."""
    with _idle(machine) as known:
        _require(known.systems, numbers)
        needed = needed_generations(without_records(known))
        for number in numbers:
            if number in needed:
                raise GenerationNeeded(number, needed[number])
        dropped = _drop(machine, numbers, dry_run=dry_run)
    return _free(machine, store, dropped, dry_run=dry_run)


def collect_generations(
    machine: Machine, store: Store, *, dry_run: bool, keep: int = 0, keep_for: Optional[float] = None
) -> Collection:
    """Remove what the policy does not keep, and all in the store that nothing needs. Raises `HostBusy`.

    `keep` and `keep_for` stand in the place of the configuration's, where they are given.
    """
    policy = policy_of(machine)
    policy = Retention(keep or policy.keep, policy.keep_for if keep_for is None else keep_for)
    with _idle(machine) as known:
        kept = reasons_to_keep(known, policy, time.time())
        dropped = _drop(machine, [number for number, reasons in kept.items() if not reasons], dry_run=dry_run)
    return _free(machine, store, dropped, dry_run=dry_run)


def begin_collection(machine: Machine, record: Record) -> None:
    """After a confirmed deployment: where the policy lets a generation go, have a service of its own take it away."""
    if record.state != CONFIRMED or not record.fresh:
        return
    kept = reasons_to_keep(known_generations(machine), policy_of(machine), time.time())
    runtime = machine.store.runtime(record.next)
    if runtime and not all(kept.values()) and not machine.systemd.states([COLLECT])[COLLECT].is_active:
        properties = {"Description": "Removal of old generations", "Nice": "19", "IOSchedulingClass": "idle"}
        machine.systemd.start_service(COLLECT, [*machine.interpreter, runtime, "collect"], properties)


@contextlib.contextmanager
def _idle(machine: Machine) -> Iterator[Known]:
    """The lock, where no transaction is in the middle; the value is what is known then."""
    if machine.disk.entry(STATE_DIRECTORY) is None:
        yield Known({}, {})
        return
    with locked(machine.disk, _PATIENCE) as ours:
        record = machine.journal.read()
        if not ours or not record.is_terminal:
            raise busy(machine, record)
        yield known_generations(machine)


def _drop(machine: Machine, numbers: Sequence[int], *, dry_run: bool) -> Tuple[Generation, ...]:
    dropped = tuple(generation for generation in generations(machine) if generation.number in numbers)
    if dropped and not dry_run:
        for generation in dropped:
            machine.profile.drop(generation.number)
            machine.disk.remove(f"{PINNED}/{generation.number}")
        machine.store.hold(roots(machine))
    return dropped


def _free(machine: Machine, store: Store, dropped: Sequence[Generation], *, dry_run: bool) -> Collection:
    if not store.layout.database.exists():
        return Collection(tuple(dropped))
    without = [f"generation-{generation.number}" for generation in dropped]
    collected = collect(store, dry_run=dry_run, without=without)
    return Collection(tuple(dropped), collected.paths, collected.bytes)


def _require(known: Mapping[int, str], numbers: Sequence[int]) -> None:
    for number in numbers:
        if number not in known:
            raise GenerationUnknown(number, tuple(known))


def _pinned(machine: Machine) -> FrozenSet[int]:
    return frozenset(int(name) for name in machine.disk.names(PINNED) if name.isdecimal())


def _made(machine: Machine, number: int) -> float:
    entry = machine.disk.entry(f"{PROFILE}/{number}-link")
    return entry.metadata.mtime_ns / 1e9 if entry is not None else 0.0


def _size(store: Store, system: str) -> int:
    """0 where the system is gone from the store."""
    try:
        return sum(store.query(path).nar_size for path in store.closure([system]))
    except PathNotValid:
        return 0
