"""What systemctl and journalctl say, taken apart. `tests/lab/test_host_systemd.py` asks the real ones."""

from __future__ import annotations

import pytest

from deployer.host.process import Completed
from deployer.host.systemd import complaints, last_run, literal
from deployer.host.unit_state import UnitState


def test_the_journal_of_the_last_run_begins_where_systemd_started_it() -> None:
    entries: list[dict[str, object]] = [
        {"MESSAGE": "Starting", "INVOCATION_ID": "1"},
        {"MESSAGE": "old", "_SYSTEMD_INVOCATION_ID": "1"},
        {"MESSAGE": "Starting", "INVOCATION_ID": "2"},
        {"MESSAGE": "of a program that ended at once"},
        {"MESSAGE": [27, 91, 255, 111]},
        {"MESSAGE": None},
        {"MESSAGE": "Failed", "INVOCATION_ID": "2"},
    ]

    assert last_run(entries) == ["Starting", "of a program that ended at once", "[\ufffdo", "Failed"]
    assert last_run([{"MESSAGE": "a"}, {"MESSAGE": "b" * 9000}])[1].endswith("…")
    assert last_run([]) == []


@pytest.mark.parametrize(
    ("stderr", "verb", "found"),
    [
        ("", "start", {"a.service": "systemctl start failed", "b.service": "systemctl start failed"}),
        ("Failed to start a.service: Unit a.service not found.", "start", {"a.service": "Unit a.service not found."}),
        (
            "Job for a.service failed because the control process exited with error code.\n"
            'See "systemctl status a.service" and "journalctl -xeu a.service" for details.\n',
            "restart",
            {"a.service": "failed because the control process exited with error code"},
        ),
        ("Job for b.service canceled.", "start", {"b.service": "canceled"}),
        (
            "A dependency job for b.service failed. See 'journalctl -xe' for details.",
            "start",
            {"b.service": "a unit that it needs failed"},
        ),
        ("Failed to connect to bus", "start", {"a.service": "Failed to connect to bus", "b.service": "Failed to connect to bus"}),
        (
            "Failed to start x.service: no",
            "start",
            {"a.service": "Failed to start x.service: no"} | {"b.service": "Failed to start x.service: no"},
        ),
    ],
)
def test_complaints_are_sorted_by_unit(stderr: str, verb: str, found: dict[str, str]) -> None:
    ended = Completed(("systemctl",), 1, b"", stderr.encode())

    assert complaints(ended, verb, ["a.service", "b.service"]) == found
    assert complaints(Completed(("systemctl",), 0, b"", stderr.encode()), verb, ["a.service"]) == {}


def test_nothing_in_a_command_is_a_variable_to_systemd() -> None:
    assert literal(["/bin/sh", "-c", "echo $HOME $$"]) == ["/bin/sh", "-c", "echo $$HOME $$$$"]


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
