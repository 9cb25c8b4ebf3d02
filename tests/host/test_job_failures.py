"""Why jobs failed, by what systemctl and systemd say. `tests/lab/test_host_systemd.py` asks the real ones."""

from __future__ import annotations

import pytest

from deployer.host.job_failures import after_their_jobs, complaints, ended_badly
from deployer.host.process import Completed
from deployer.host.unit_state import UnitState


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


def test_how_a_start_ended_is_told_in_words_where_there_are_some() -> None:
    ended = {"a.service": "done", "b.service": "", "c.service": "dependency", "d.service": "Unit d.service is masked."}

    assert ended_badly(ended) == {"c.service": "a unit that it needs failed", "d.service": "Unit d.service is masked."}


def test_after_their_jobs_units_are_judged_by_what_became_of_them() -> None:
    states = {
        "fine.service": UnitState("loaded", "active", "running"),
        "died.service": UnitState("loaded", "failed", "failed", result="exit-code", exit_status=3),
        "late.service": UnitState("loaded", "inactive", "dead"),
        "none.service": UnitState(),
    }

    assert after_their_jobs(states, {"late.service": "it did not start within 2 s"}) == {
        "died.service": "it is failed (failed, result exit-code, status 3)",
        "late.service": "it did not start within 2 s: it is inactive (dead)",
        "none.service": "systemd does not know it (LoadState=not-found)",
    }
