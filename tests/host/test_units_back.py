"""What brings units back that ran before us, and what the undo log says of them."""

from __future__ import annotations

from deployer.host.told_jobs import RENEW
from deployer.host.unit_changes import UnitChanges
from deployer.host.unit_records import NOT_RELOADED, RELOADING, UnitsBefore, may_have_reloaded, units_before, units_record
from deployer.host.unit_state import UnitState
from deployer.host.units_back import way_back

RUNS = UnitState("loaded", "active", "running", run="2")
DOWN = UnitState("loaded", "inactive", "dead")


def test_what_was_laid_down_is_read_again() -> None:
    before = {"a.service": RUNS, "b.service": UnitState("loaded", "failed", "failed"), "c.service": RUNS}

    record = units_record(before, {"a.service", "b.service", "new.service"})

    assert units_before([{"op": "path"}, record]) == UnitsBefore(
        touched=frozenset({"a.service", "b.service", "new.service"}),
        active=frozenset({"a.service", "c.service"}),
        failing=frozenset({"b.service"}),
        runs={"a.service": "2"},
    )
    assert units_before([]) == UnitsBefore()


def test_old_definitions_are_loaded_where_systemd_refused_all_new_ones() -> None:
    asked, refused = {"op": RELOADING}, {"op": NOT_RELOADED}

    assert not may_have_reloaded([])
    assert not may_have_reloaded([asked, refused])
    assert may_have_reloaded([asked])
    assert may_have_reloaded([asked, refused, asked])


def test_what_is_down_is_started_and_what_runs_otherwise_is_restarted() -> None:
    now = {"down.service": DOWN, "new.service": RUNS, "old.service": RUNS, "many.service": RUNS}
    reverse = UnitChanges(restart=("new.service", "old.service", "many.service"), renew=("many.service",))

    way = way_back(sorted(now), now, {"old.service": "2", "new.service": "1"}, reverse)

    assert way.verbs == {"reload": set(), RENEW: {"many.service"}, "restart": {"new.service"}, "start": {"down.service"}}


def test_what_is_in_the_midst_of_a_reload_is_restarted() -> None:
    now = {"a.service": UnitState("loaded", "reloading", "reload"), "b.service": RUNS}

    way = way_back(sorted(now), now, {}, UnitChanges(reload=("a.service", "b.service")))

    assert way.verbs == {"reload": {"b.service"}, RENEW: set(), "restart": {"a.service"}, "start": set()}


def test_what_systemd_restarts_along_is_left_to_it_where_all_are_restarted() -> None:
    now = {"a.service": RUNS, "b.service": RUNS}
    reverse = UnitChanges(restart=("a.service", "b.service"), along=("b.service",))

    assert way_back(sorted(now), now, {}, reverse).along == ("b.service",)
    assert way_back(sorted(now), now, {"a.service": "2"}, reverse).along == ()
    assert way_back(sorted(now), now, {"a.service": "2"}, reverse).verbs["restart"] == {"b.service"}
