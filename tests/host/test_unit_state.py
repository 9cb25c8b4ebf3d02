"""What systemd tells of a unit, and what it means. `tests/lab/test_host_systemd.py` asks the real one."""

from __future__ import annotations

import pytest

from deployer.host.unit_state import UnitState, state_of


@pytest.mark.parametrize(
    ("state", "crashing", "done"),
    [
        (UnitState("loaded", "active", "running"), False, False),
        (UnitState("loaded", "failed", "failed"), True, False),
        (UnitState("loaded", "activating", "auto-restart", result="exit-code", exit_status=1), True, False),
        (UnitState("loaded", "activating", "auto-restart"), False, False),
        (UnitState("loaded", "inactive", "dead", type="oneshot"), False, True),
        (UnitState("loaded", "inactive", "dead", type="oneshot", remains=True), False, False),
        (UnitState("loaded", "inactive", "dead", type="simple"), False, False),
        (UnitState("loaded", "inactive", "dead", condition=False), False, True),
        (UnitState("not-found", "inactive", "dead", type="oneshot"), False, False),
    ],
)
def test_states_mean_something(state: UnitState, crashing: bool, done: bool) -> None:
    assert (state.is_crashing, state.is_done) == (crashing, done)


def test_what_systemctl_shows_is_a_state() -> None:
    said = """\
LoadState=loaded
ActiveState=active
SubState=running
Result=success
NRestarts=2
MainPID=77
Type=notify
RemainAfterExit=no
ConditionResult=yes
ConditionTimestampMonotonic=1
ActiveEnterTimestampMonotonic=2500000
FragmentPath=/etc/systemd/system/web.service
DropInPaths=/etc/systemd/system/web.service.d/a.conf /run/b=c.conf
UnitFileState=enabled
NeedDaemonReload=yes
Job=12
MemoryCurrent=4096
ControlGroup=/system.slice/web.service
InvocationID=ab12
RequiredBy=app.target
BoundBy=log.service app.target
"""

    assert state_of(said, shipped=True) == UnitState(
        load="loaded",
        active="active",
        sub="running",
        n_restarts=2,
        main_pid=77,
        type="notify",
        fragment="/etc/systemd/system/web.service",
        drop_ins=("/etc/systemd/system/web.service.d/a.conf", "/run/b=c.conf"),
        enabled="enabled",
        active_since=2.5,
        needs_reload=True,
        job=12,
        control_group="/system.slice/web.service",
        shipped=True,
        run="ab12",
        bound=("app.target", "log.service"),
    )
    assert state_of(said, shipped=True).memory == 4096


def test_of_what_systemctl_does_not_show_nothing_is_known() -> None:
    assert state_of("", shipped=False) == UnitState()
    assert state_of("Result=\nNRestarts=\nMemoryCurrent=[not set]\nno property", shipped=False) == UnitState()


@pytest.mark.parametrize(("said", "used"), [("[not set]", -1), ("18446744073709551615", -1), ("0", 0), ("4096", 4096)])
def test_memory_is_known_where_systemd_counts(said: str, used: int) -> None:
    assert state_of(f"MemoryCurrent={said}", shipped=False).memory == used


@pytest.mark.parametrize(("result", "looked_at", "held"), [("yes", 5, True), ("no", 5, False), ("no", 0, True)])
def test_conditions_count_once_they_were_looked_at(result: str, looked_at: int, held: bool) -> None:
    said = f"ConditionResult={result}\nConditionTimestampMonotonic={looked_at}"

    assert state_of(said, shipped=False).condition is held
