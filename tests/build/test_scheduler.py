"""The scheduler's decisions: order, slots, failures."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.build.scheduler import Scheduler


def _scheduler(graph, *, slots=2, keep_going=False):
    return Scheduler(graph, slots={"build": slots}, kinds_of=lambda _: ["build"], keep_going=keep_going)


def test_the_longest_chain_goes_first():
    scheduler = _scheduler({"leaf": [], "a": [], "b": ["a"], "c": ["b"]}, slots=1)

    assert scheduler.start() == ["a"]


def test_a_job_starts_when_all_that_it_needs_has_ended():
    scheduler = _scheduler({"a": [], "b": [], "c": ["a", "b", "not a job"]})
    assert scheduler.start() == ["a", "b"]

    scheduler.succeeded("a")
    assert scheduler.start() == []
    scheduler.succeeded("b")

    assert scheduler.start() == ["c"]


def test_a_failure_stops_everything_new():
    scheduler = _scheduler({"a": [], "b": [], "other": []}, slots=1)
    scheduler.start()

    assert scheduler.failed("a") == []
    assert scheduler.start() == []
    assert scheduler.finished


def test_with_keep_going_only_dependents_are_lost():
    scheduler = _scheduler({"a": [], "b": ["a"], "c": ["b"], "other": []}, slots=1, keep_going=True)
    scheduler.start()

    assert scheduler.failed("a") == ["b", "c"]
    assert scheduler.start() == ["other"]


def test_a_job_takes_the_first_kind_of_slot_that_is_free_and_none_waits_behind_another_kind():
    kinds = {"a": ["one", "two"], "b": ["one", "two"], "c": ["two"], "d": ["one"], "e": ["none", "one"]}
    scheduler = Scheduler(dict.fromkeys(kinds, ()), slots={"one": 1, "two": 1}, kinds_of=kinds.__getitem__)

    assert scheduler.start() == ["a", "b"]
    assert [scheduler.taken("a"), scheduler.taken("b")] == ["one", "two"]
    scheduler.succeeded("a")
    assert scheduler.start() == ["d"]
    scheduler.succeeded("b")
    assert scheduler.start() == ["c"]
    scheduler.succeeded("d")
    assert scheduler.start() == ["e"]
    assert scheduler.taken("e") == "one"


def test_a_released_job_lets_others_start_but_not_its_dependents():
    scheduler = _scheduler({"a": [], "b": ["a"], "other": [], "last": []}, slots=1)
    assert scheduler.start() == ["a"]

    scheduler.released("a")
    scheduler.released("a")
    assert scheduler.start() == ["last"]
    assert not scheduler.finished
    scheduler.succeeded("a")

    assert scheduler.start() == []
    scheduler.succeeded("last")
    assert scheduler.start() == ["b"]


@pytest.mark.parametrize(
    ("graph", "order"),
    [
        ({"leaf": [], "a": [], "b": ["a"], "c": ["b"]}, "abcleaf"),
        ({"a": [], "b": ["a"], "x": [], "y": ["x"], "z": ["y"]}, "xaybz"),
        ({"a": [], "b": [], "c": ["b"], "d": ["c", "a"]}, "bacd"),
        ({"z": [], "a": []}, "az"),
        ({"a": ["gone"], "b": ["a"]}, "ab"),
    ],
)
def test_with_one_slot_the_longest_chain_left_decides(graph, order):
    scheduler = _scheduler(graph, slots=1)
    started = []
    while not scheduler.finished:
        (job,) = scheduler.start()
        started.append(job)
        scheduler.succeeded(job)

    assert "".join(started) == order


def test_a_cycle_is_refused():
    with pytest.raises(ValueError, match="cycle"):
        _scheduler({"a": ["b"], "b": ["a"]})


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the inputs
@given(st.lists(st.sets(st.integers(0, 19)), max_size=20), st.integers(1, 4), st.sets(st.integers(0, 19)), st.booleans())
def test_every_job_runs_once_after_its_dependencies_within_the_slots(edges, slots, bad, keep_going):
    graph = {number: {other for other in needed if other < number} for number, needed in enumerate(edges)}
    scheduler = Scheduler(graph, slots={"build": slots}, kinds_of=lambda _: ["build"], keep_going=keep_going)
    done: set[int] = set()
    failed: set[int] = set()
    lost: set[int] = set()
    running: list[int] = []
    released: set[int] = set()

    while not scheduler.finished:
        started = scheduler.start()
        running += started
        assert len([job for job in running if job not in released]) <= slots
        released |= {job for job in running if job % 3 == 0}
        for job in released:
            scheduler.released(job)
        for job in started:
            assert graph[job] <= done
        job = running.pop(0)
        if job in bad:
            failed.add(job)
            lost |= set(scheduler.failed(job))
        else:
            done.add(job)
            scheduler.succeeded(job)

    if keep_going or not failed:
        assert done | failed | lost == set(graph)


def test_a_job_is_awaited_when_another_could_start_as_soon_as_it_is_registered():
    scheduler = _scheduler({"a": [], "b": [], "c": ["a", "b"], "alone": []}, slots=3)
    assert set(scheduler.start()) == {"a", "b", "alone"}

    assert not scheduler.is_awaited("alone")
    assert not scheduler.is_awaited("a")
    scheduler.released("a")
    assert scheduler.is_awaited("b")
    scheduler.succeeded("a")
    assert scheduler.is_awaited("b")
