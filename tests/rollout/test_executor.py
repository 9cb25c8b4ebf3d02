"""The executor over a simulated fleet, with a real history."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployer.errors import DeploymentError
from deployer.formats.state import SETTLED, StateLine
from deployer.history import History, HistoryUnwritable, Holder, HostLocked, HostOutcome, open_history
from deployer.rollout import Cancellation, Ending, HostResult, Preflight, Rollout, Strategy, events, roll_out
from deployer.rollout.events import Event, EventSink


class OutOfReach(DeploymentError):
    """A host that does not answer."""

    host: str

    @property
    def message(self) -> str:
        return "no answer"


@dataclass(frozen=True)
class SimulatedHost:
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


@dataclass
class Fleet:
    """Hosts with a current system each, and what is to go wrong."""

    systems: dict[str, str]
    broken: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    on_deploy: Callable[[str], object] = lambda host: None
    forever: bool = False
    ends: HostOutcome = HostOutcome.CONFIRMED
    calls: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[SimulatedHost]:
        return [SimulatedHost(name) for name in self.systems]

    async def prepare(self, host: str) -> Preflight:
        await asyncio.sleep(0)
        if host in self.lost:
            raise OutOfReach(host)
        return Preflight(host, StateLine(SETTLED, 1, self.systems[host]), "new", self.systems[host] != "new")

    async def deploy(self, host: str, on_event: EventSink) -> HostResult:
        self.calls.append(f"deploy {host}")
        self.on_deploy(host)
        on_event(events.HostPhase(host, "switching"))
        await asyncio.sleep(1000 if self.forever else 0)
        if host in self.broken:
            return HostResult(HostOutcome.ROLLED_BACK, 1, "old", "check page: not healthy", ("it broke",))
        self.systems[host] = "new"
        return HostResult(self.ends, 2, "new")

    async def rollback(self, host: str, to_generation: int, on_event: EventSink) -> HostResult:
        self.calls.append(f"rollback {host} {to_generation}")
        await asyncio.sleep(0)
        self.systems[host] = "old"
        return HostResult(HostOutcome.RETURNED, to_generation, "old")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return open_history(tmp_path / "history.db")


def fleet(count: int, **options: object) -> Fleet:
    return Fleet({f"web{number}": "old" for number in range(1, count + 1)}, **options)  # type: ignore[arg-type]


def told(seen: list[Event]) -> list[str]:
    return [event.event_name() for event in seen]


async def test_every_host_ends_confirmed_and_is_in_history(history: History) -> None:
    hosts, seen = fleet(3), list[Event]()

    result = await roll_out(Rollout("deploy", Strategy.parse({"canary": 1}), hosts.hosts), hosts, history, seen.append)

    assert result.ending is Ending.DONE
    assert {record.host: record.outcome for record in history.hosts_of(1)} == dict.fromkeys(hosts.systems, HostOutcome.CONFIRMED)
    assert hosts.calls[0] == "deploy web1"
    assert history.rollout(1).state == "done"
    assert not history.locks()
    assert told(seen)[-1] == "rollout_finished"


async def test_hosts_that_are_right_already_make_no_waves(history: History) -> None:
    hosts, seen = Fleet({"web1": "new", "web2": "new"}), list[Event]()

    result = await roll_out(Rollout("deploy", Strategy(), hosts.hosts), hosts, history, seen.append)

    assert result.exit_code == 0
    assert hosts.calls == []
    assert "wave_started" not in told(seen)


@pytest.mark.parametrize(("ends", "taken_back"), [(HostOutcome.STAGED, ["rollback web1 1"]), (HostOutcome.PUSHED, [])])
async def test_what_waits_for_a_boot_is_taken_back_and_what_was_only_copied_is_not(
    history: History, ends: HostOutcome, taken_back: list[str]
) -> None:
    hosts, seen = fleet(2, broken={"web2"}, ends=ends), list[Event]()
    strategy = Strategy.parse({"max_parallel": 1, "on_failure": "rollback-all"})

    result = await roll_out(Rollout("deploy", strategy, hosts.hosts), hosts, history, seen.append)

    assert result.exit_code == 1
    assert hosts.calls == ["deploy web1", "deploy web2", *taken_back]
    assert f"host_{ends}" in told(seen)


@pytest.mark.parametrize("ends", [HostOutcome.STAGED, HostOutcome.PUSHED])
async def test_hosts_that_were_staged_or_pushed_are_good_and_are_not_begun_again(history: History, ends: HostOutcome) -> None:
    hosts = fleet(2, ends=ends)
    first = await roll_out(Rollout("deploy", Strategy(), hosts.hosts), hosts, history, lambda event: None)
    assert first.ending is Ending.DONE

    hosts.systems = dict.fromkeys(hosts.systems, "old")
    hosts.calls.clear()
    await roll_out(Rollout("deploy", Strategy(), hosts.hosts, resumes=1), hosts, history, lambda event: None)

    assert hosts.calls == []


async def test_a_bad_host_takes_back_all_that_were_changed(history: History) -> None:
    hosts = fleet(4, broken={"web3"})
    strategy = Strategy.parse({"max_parallel": 1, "on_failure": "rollback-all"})

    result = await roll_out(Rollout("deploy", strategy, hosts.hosts), hosts, history, lambda event: None)

    assert result.ending is Ending.ROLLED_BACK
    assert hosts.calls == ["deploy web1", "deploy web2", "deploy web3", "rollback web2 1", "rollback web1 1"]
    assert set(hosts.systems.values()) == {"old"}
    assert [str(record.outcome) for record in history.hosts_of(1)] == ["returned", "returned", "rolled-back", "not-started"]


async def test_a_host_out_of_reach_stops_the_rollout_before_anything_changes(history: History) -> None:
    hosts = fleet(3, lost={"web2"})

    result = await roll_out(
        Rollout("deploy", Strategy(), hosts.hosts), hosts, history, lambda event: None, unreachable=(OutOfReach,)
    )

    assert result.ending is Ending.STOPPED
    assert hosts.calls == []
    assert "max_unreachable" in history.rollout(1).reason


async def test_a_host_out_of_reach_within_the_budget_is_partial(history: History) -> None:
    hosts = fleet(3, lost={"web2"})

    result = await roll_out(
        Rollout("deploy", Strategy.parse({"max_unreachable": 1}), hosts.hosts),
        hosts,
        history,
        lambda event: None,
        unreachable=(OutOfReach,),
    )

    assert result.exit_code == 3
    assert result.outcomes["web2"] is HostOutcome.UNREACHABLE


async def test_the_first_ctrl_c_lets_hosts_finish_and_begins_no_more(history: History) -> None:
    cancellation = Cancellation()
    hosts = fleet(3, on_deploy=lambda host: cancellation.request())

    result = await roll_out(
        Rollout("deploy", Strategy.parse({"max_parallel": 1}), hosts.hosts),
        hosts,
        history,
        lambda event: None,
        cancellation=cancellation,
    )

    assert result.ending is Ending.CANCELLED
    assert hosts.calls == ["deploy web1"]
    assert hosts.systems == {"web1": "new", "web2": "old", "web3": "old"}


async def test_the_second_ctrl_c_lets_go_of_hosts_under_way(history: History) -> None:
    cancellation = Cancellation()

    def twice(host: str) -> None:
        cancellation.request()
        cancellation.request()

    hosts = fleet(3, on_deploy=twice, forever=True)

    async with asyncio.timeout(10):
        result = await roll_out(
            Rollout("deploy", Strategy.parse({"max_parallel": 1, "on_failure": "rollback-all"}), hosts.hosts),
            hosts,
            history,
            lambda event: None,
            cancellation=cancellation,
        )

    assert result.ending is Ending.CANCELLED
    assert result.outcomes["web1"] is HostOutcome.UNREACHABLE
    assert hosts.calls == ["deploy web1"]


async def test_a_locked_host_is_refused_and_its_holder_named(history: History) -> None:
    hosts = fleet(2)
    other = Holder("bob@elsewhere", 7, "1", "boot", "elsewhere")
    history.lock(["web2"], holder=other)

    with pytest.raises(HostLocked) as caught:
        await roll_out(Rollout("deploy", Strategy(), hosts.hosts), hosts, history, lambda event: None)

    assert "bob@elsewhere" in str(caught.value)
    assert "deployer unlock --on web2" in caught.value.remedy
    assert hosts.calls == []


async def test_a_resumed_rollout_does_no_host_twice_and_can_still_take_all_back(history: History) -> None:
    hosts = fleet(3)
    strategy = Strategy.parse({"max_parallel": 1, "on_failure": "rollback-all"})

    run = asyncio.ensure_future(roll_out(Rollout("deploy", strategy, hosts.hosts), hosts, history, lambda event: None))

    def hang_at_web2(host: str) -> None:
        if host == "web2":
            hosts.forever = True
            run.cancel()

    hosts.on_deploy = hang_at_web2
    with pytest.raises(asyncio.CancelledError):
        await run
    assert history.rollout(1).ended is None
    hosts.on_deploy, hosts.forever = (lambda host: None), False
    hosts.calls.clear()
    hosts.broken = {"web3"}

    record = history.take_over(1, by_force=True)
    result = await roll_out(Rollout("deploy", strategy, hosts.hosts, resumes=record.number), hosts, history, lambda event: None)

    assert result.ending is Ending.ROLLED_BACK
    assert hosts.calls == ["deploy web2", "deploy web3", "rollback web2 1", "rollback web1 1"]


async def test_a_history_that_cannot_be_written_begins_no_more_hosts(history: History) -> None:
    hosts = fleet(3, on_deploy=lambda host: history._connection.execute("PRAGMA query_only = ON"))

    with pytest.raises(HistoryUnwritable):
        await roll_out(Rollout("deploy", Strategy.parse({"max_parallel": 1}), hosts.hosts), hosts, history, lambda event: None)

    assert hosts.calls == ["deploy web1"]
    assert history.rollout(1).ended is None


async def test_ctrl_c_during_the_build_changes_nothing(history: History) -> None:
    hosts, cancellation = fleet(2), Cancellation()

    async def build(names: object) -> None:
        cancellation.request()
        await asyncio.sleep(1000)

    result = await roll_out(
        Rollout("deploy", Strategy(), hosts.hosts), hosts, history, lambda event: None, build=build, cancellation=cancellation
    )

    assert result.ending is Ending.CANCELLED
    assert hosts.calls == []
    assert history.rollout(1).state == "cancelled"


async def test_a_reader_that_goes_away_does_not_disturb_the_rollout(history: History) -> None:
    hosts = fleet(2)

    def closed(event: Event) -> None:
        raise BrokenPipeError

    assert (await roll_out(Rollout("deploy", Strategy(), hosts.hosts), hosts, history, closed)).exit_code == 0


async def test_a_mistake_in_one_host_s_operation_leaves_the_others_alone(history: History) -> None:
    def crash(host: str) -> None:
        if host == "web1":
            raise ZeroDivisionError

    hosts = fleet(2, on_deploy=crash)

    result = await roll_out(
        Rollout("deploy", Strategy.parse({"max_failures": 1}), hosts.hosts), hosts, history, lambda event: None
    )

    assert result.exit_code == 3
    assert result.outcomes == {"web1": HostOutcome.FAILED, "web2": HostOutcome.CONFIRMED}
