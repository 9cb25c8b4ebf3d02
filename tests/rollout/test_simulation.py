"""Thousands of random rollouts under a simulated clock; what must hold in every one of them."""

import heapq
import os
import random
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import pytest

from deployer.history.records import HostOutcome
from deployer.rollout.machine import (
    Activate,
    BeginWave,
    CancelRequested,
    Command,
    EndWave,
    Finish,
    HostEnded,
    Input,
    Result,
    ReturnEnded,
    ReturnHost,
    RolloutMachine,
    TimePassed,
    WaitUntil,
)
from deployer.rollout.strategy import Amount, OnFailure, Strategy
from deployer.rollout.waves import plan_waves

ROLLOUTS = 3000
BAD = {HostOutcome.FAILED, HostOutcome.ROLLED_BACK, HostOutcome.NEEDS_PERSON}


@dataclass(frozen=True)
class SimulatedHost:
    name: str
    labels: Mapping[str, str]
    groups: tuple[str, ...] = ()


def random_strategy(dice: random.Random) -> Strategy:
    def amount(least: int) -> Amount:
        return Amount(dice.randint(least, 40), percent=True) if dice.random() < 0.5 else Amount(dice.randint(least, 5))

    return Strategy(
        canary=dice.choice([None, amount(1), "zone=a", ("h0", "h1")]),
        waves=dice.choice([None, (amount(1),), (amount(1), amount(1)), "zone"]),
        max_parallel=dice.randint(1, 8),
        one_per=dice.choice([None, "rack"]),
        max_failures=amount(0),
        max_unreachable=amount(0),
        canary_max_failures=Amount(dice.choice([0, 0, 0, 1])),
        on_failure=dice.choice(list(OnFailure)),
        bake_time=dice.choice([0.0, 0.0, 60.0]),
    )


class Simulation:
    """One rollout over hosts that take random time and end at random; it watches the rules at every step."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        count = self.dice.randint(1, 30)
        self.hosts = [
            SimulatedHost(f"h{n}", {"zone": "a" if n == 0 else self.dice.choice("abc"), "rack": str(n % 4)}) for n in range(count)
        ]
        self.strategy = random_strategy(self.dice)
        self.waves = plan_waves(self.strategy, self.hosts)
        self.trouble = self.dice.choice([0.0, 0.05, 0.5])
        domains = {host.name: host.labels["rack"] for host in self.hosts} if self.strategy.one_per else {}
        self.domains = domains
        self.machine = RolloutMachine(self.strategy, self.waves, domains=domains)
        self.now = 0.0
        self.queue: list[tuple[float, float, Input]] = []
        self.running: set[str] = set()
        self.changed: set[str] = set()
        self.ended: dict[str, HostOutcome] = {}
        self.activated: list[str] = []
        self.wave = -1
        self.baked_until = 0.0
        self.cancelled = False
        self.stopped = False
        self.result: Result | None = None

    def run(self) -> Self:
        if self.dice.random() < 0.2:
            self.later(self.dice.uniform(0, 200), CancelRequested())
        self.obey(self.machine.start(self.now))
        while self.result is None:
            assert self.queue, "nothing will ever happen again, and the rollout has not ended"
            self.now, _, happened = heapq.heappop(self.queue)
            self.note(happened)
            self.obey(self.machine.receive(happened, self.now))
        return self

    def later(self, seconds: float, happened: Input) -> None:
        heapq.heappush(self.queue, (self.now + seconds, self.dice.random(), happened))

    def note(self, happened: Input) -> None:
        match happened:
            case HostEnded(host, outcome, uncertain):
                self.running.remove(host)
                self.ended[host] = outcome
                if outcome is HostOutcome.CONFIRMED or uncertain:
                    self.changed.add(host)
            case ReturnEnded(host, outcome):
                self.running.remove(host)
                if outcome is HostOutcome.RETURNED:
                    self.changed.remove(host)
            case CancelRequested():
                self.cancelled = True

    def obey(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case BeginWave(index):
                    assert index == self.wave + 1
                    assert not self.running
                    assert self.now >= self.baked_until
                    if self.wave >= 0:
                        assert set(self.waves[self.wave].hosts) <= set(self.ended)
                    self.wave = index
                case Activate(host):
                    assert host in self.waves[self.wave].hosts
                    assert host not in self.activated, "a host is done twice"
                    assert not self.over_budget()
                    assert not self.cancelled
                    self.activated.append(host)
                    self.begin(host)
                    self.later(self.dice.uniform(1, 50), self.ending(host))
                case ReturnHost(host):
                    assert host in self.changed
                    assert self.strategy.on_failure is not OnFailure.STOP
                    self.begin(host)
                    back = HostOutcome.NEEDS_PERSON if self.dice.random() < self.trouble / 5 else HostOutcome.RETURNED
                    self.later(self.dice.uniform(1, 50), ReturnEnded(host, back))
                case WaitUntil(moment, _):
                    self.baked_until = moment
                    self.later((moment - self.now) / 2, TimePassed())
                    self.later(moment - self.now, TimePassed())
                case EndWave(index):
                    assert index == self.wave
                case Finish(result):
                    assert not self.running
                    self.result = result

    def begin(self, host: str) -> None:
        if host in self.domains:
            assert self.domains[host] not in {self.domains[other] for other in self.running}
        self.running.add(host)
        assert len(self.running) <= self.strategy.max_parallel

    def ending(self, host: str) -> HostEnded:
        if self.dice.random() >= self.trouble:
            return HostEnded(host, HostOutcome.CONFIRMED)
        kinds = [HostOutcome.FAILED, HostOutcome.ROLLED_BACK, HostOutcome.UNREACHABLE]
        outcome = self.dice.choice([*kinds * 5, HostOutcome.NEEDS_PERSON])
        return HostEnded(host, outcome, uncertain=outcome is HostOutcome.UNREACHABLE and self.dice.random() < 0.5)

    def over_budget(self) -> bool:
        failed = sum(outcome in BAD for outcome in self.ended.values())
        lost = sum(outcome is HostOutcome.UNREACHABLE for outcome in self.ended.values())
        canary = self.waves[0] if self.waves[0].canary else None
        spoiled = 0
        if canary:
            spoiled = sum(self.ended.get(host) in BAD | {HostOutcome.UNREACHABLE} for host in canary.hosts)
        return (
            failed > self.strategy.max_failures.of(len(self.hosts))
            or lost > self.strategy.max_unreachable.of(len(self.hosts))
            or (canary is not None and spoiled > self.strategy.canary_max_failures.of(len(canary.hosts)))
            or HostOutcome.NEEDS_PERSON in self.ended.values()
        )


def test_no_random_rollout_breaks_a_rule() -> None:
    first = int(os.environ.get("DEPLOYER_SEED", random.randrange(1 << 40)))
    sys.stdout.write(f"DEPLOYER_SEED={first}\n")
    for seed in range(first, first + ROLLOUTS):
        try:
            check(Simulation(seed).run())
        except AssertionError as error:
            pytest.fail(f"DEPLOYER_SEED={seed}: {error}")


def check(simulation: Simulation) -> None:
    """What must hold at the end."""
    result = simulation.result
    assert result is not None
    outcomes = result.outcomes
    assert set(outcomes) == {host.name for host in simulation.hosts}
    assert HostOutcome.UNDER_WAY not in outcomes.values()
    for host, outcome in outcomes.items():
        assert (outcome is HostOutcome.NOT_STARTED) == (host not in simulation.activated)
        if outcome is HostOutcome.RETURNED:
            assert host not in simulation.changed
    if simulation.over_budget() and simulation.strategy.on_failure is OnFailure.ROLLBACK_ALL:
        left = {host for host in simulation.changed if outcomes[host] is not HostOutcome.NEEDS_PERSON}
        assert not left
    good = set(outcomes.values()) <= {HostOutcome.CONFIRMED}
    assert (result.exit_code == 0) == good
    assert (result.exit_code == 4) == (HostOutcome.NEEDS_PERSON in outcomes.values())
    if result.exit_code == 3:
        assert not simulation.over_budget()
        assert len(simulation.activated) == len(simulation.hosts)
