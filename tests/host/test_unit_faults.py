"""What drift tells of units and what a repair does about them is the same; an ordinary deploy has rules of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.manifest import EtcEntry, Manifest, Unit
from deployer.host.ledger import Ledger
from deployer.host.machine import UnitStatus
from deployer.host.plan_inputs import Observed
from deployer.host.planning import plan_activation
from deployer.host.unit_changes import unit_changes
from deployer.host.unit_faults import unit_faults
from deployer.host.unit_state import UnitState

TEXT = "[Service]\nExecStart=/bin/web\n"
ONCE = "[Service]\nType=oneshot\nExecStart=/bin/web\n"
BY_HAND = f"[Unit]\nX-OnlyManualStart=true\n{TEXT}"
SYSTEM = "/nix/store/x-system"
DROP_IN = "/etc/systemd/system/a.service.d/theirs.conf"
MASK = "/etc/systemd/system/a.service"
UNRELATED = EtcEntry("unrelated", "symlink", target="x")


def drift(unit: Unit, status: UnitStatus) -> list[str]:
    return [fault.observed for _, fault in unit_faults({unit.name: unit}, {unit.name: status}, SYSTEM)]


def repaired(unit: Unit, status: UnitStatus, *, broken: bool = False) -> list[str]:
    """What a repair would do, or refuse; `broken`: where something else has drifted too."""
    entries = (UNRELATED,) if broken else ()
    manifest = Manifest(etc=entries, units=(unit,))
    observed = Observed(
        etc={"unrelated": "absent"} if broken else {},
        wishes={"unrelated": "link x"} if broken else {},
        units={unit.name: status},
        system=SYSTEM,
        foreign=frozenset({DROP_IN, MASK}),
    )
    plan = plan_activation(manifest, manifest, observed, Ledger(), repair=True)
    actions = [f"{action.operation} {action.target}" for action in plan.actions if action.target != "/etc/unrelated"]
    return [*actions, *(f"refuse {problem.target}" for problem in plan.problems)]


def deployed(unit: Unit, status: UnitStatus) -> list[str]:
    """What an ordinary deploy that changes something else does."""
    changes = unit_changes(Manifest(units=(unit,)), Manifest(units=(unit,), etc=(UNRELATED,)), {unit.name: status})
    return sorted(changes.touched)


@dataclass(frozen=True)
class Case:
    unit: Unit
    fields: dict[str, Any]
    repair: list[str]
    is_touched: bool = False
    """By an ordinary deploy."""


def ours(text: str = TEXT, **more: Any) -> Unit:
    return Unit("a.service", text, **more)


EXTENDED = Unit("a.service", "", {"x.conf": TEXT})
DEAD = {"active": "inactive", "sub": "dead"}
FAILED = {"active": "failed", "sub": "failed", "result": "exit-code"}
CASES = {
    "as declared": Case(ours(), {}, []),
    "stopped": Case(ours(), DEAD, ["start a.service"], True),
    "failed": Case(ours(), FAILED, ["start a.service"], True),
    "by hand only": Case(ours(BY_HAND), DEAD, []),
    "oneshot, done": Case(ours(ONCE), {**DEAD, "type": "oneshot"}, []),
    "oneshot, failed": Case(ours(ONCE), {**FAILED, "type": "oneshot"}, ["start a.service"]),
    "oneshot that stays": Case(
        ours(f"{ONCE}RemainAfterExit=yes\n"), {**DEAD, "type": "oneshot", "remains": True}, ["start a.service"], True
    ),
    "extended oneshot, done": Case(EXTENDED, {**DEAD, "type": "oneshot"}, []),
    "extended oneshot, failed": Case(EXTENDED, {**FAILED, "type": "oneshot"}, ["start a.service"]),
    "crashing": Case(ours(), {"active": "activating", "sub": "auto-restart", "result": "exit-code"}, ["restart a.service"]),
    "between runs": Case(ours(), {"active": "activating", "sub": "auto-restart"}, []),
    "condition": Case(ours(), {**DEAD, "condition": False}, [], True),
    "foreign drop-in": Case(ours(), {"drop_ins": (DROP_IN,)}, [f"remove {DROP_IN}", "change a.service", "restart a.service"]),
    "extended beside us": Case(EXTENDED, {"drop_ins": (DROP_IN,)}, []),
    "not read again": Case(ours(), {"needs_reload": True}, ["change a.service"]),
    "elsewhere": Case(ours(), {"fragment": "/run/a.service"}, ["change a.service", "restart a.service"]),
    "masked by hand": Case(ours(), {**DEAD, "load": "masked"}, ["change a.service", "start a.service"], True),
    "the host's, masked": Case(
        EXTENDED, {**DEAD, "load": "masked"}, [f"remove {MASK}", "change a.service", "start a.service"], True
    ),
    "unmasked by hand": Case(Unit("a.service", masked=True), {}, ["stop a.service", "change a.service"], True),
    "masked": Case(Unit("a.service", masked=True), {**DEAD, "load": "masked"}, []),
    "gone": Case(ours(), {**DEAD, "load": "not-found"}, ["change a.service", "start a.service"], True),
    "the host's, gone": Case(
        EXTENDED,
        {**DEAD, "load": "not-found"},
        ["change a.service", "start a.service", "refuse unit a.service"],
        True,
    ),
    "not to be active": Case(ours(start=False), FAILED, []),
}


def state(**fields: Any) -> UnitState:
    return UnitState(**{"load": "loaded", "active": "active", "sub": "running", **fields})


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_cases(case: Case) -> None:
    status = state(**case.fields)

    assert repaired(case.unit, status) == case.repair
    assert bool(drift(case.unit, status)) == bool(case.repair)
    assert bool(deployed(case.unit, status)) == case.is_touched


def test_a_unit_whose_condition_did_not_hold_is_tried_once_something_else_was_set_right() -> None:
    assert repaired(ours(), state(**DEAD, condition=False), broken=True) == ["start a.service"]
    assert repaired(ours(ONCE), state(**DEAD, type="oneshot"), broken=True) == []


STATES = st.builds(
    UnitState,
    load=st.sampled_from(["loaded", "masked", "not-found", "bad-setting"]),
    active=st.sampled_from(["active", "inactive", "failed", "activating", "deactivating"]),
    sub=st.sampled_from(["running", "dead", "failed", "auto-restart"]),
    result=st.sampled_from(["success", "exit-code"]),
    type=st.sampled_from(["simple", "oneshot"]),
    remains=st.booleans(),
    condition=st.booleans(),
    needs_reload=st.booleans(),
    fragment=st.sampled_from(["", MASK, "/run/a.service"]),
    drop_ins=st.sampled_from([(), (DROP_IN,)]),
)
DECLARED = st.builds(
    Unit,
    st.just("a.service"),
    st.sampled_from([TEXT, ONCE, BY_HAND, ""]),
    st.sampled_from([{}, {"x.conf": TEXT}]),
    st.booleans(),
    st.booleans(),
)


@given(DECLARED, STATES)
def test_a_repair_does_something_exactly_where_there_is_drift(unit: Unit, status: UnitState) -> None:
    assert bool(drift(unit, status)) == bool(repaired(unit, status))
