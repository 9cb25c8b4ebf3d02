"""What journalctl says, taken apart. `tests/lab/test_host_systemd.py` asks the real one."""

from __future__ import annotations

from deployer.host.journalctl import last_run


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
