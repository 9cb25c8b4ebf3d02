"""History survives what happens to files and processes."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from deployer.history import (
    HistoryCorrupt,
    HistoryNewer,
    HistorySchemeUnknown,
    HistoryUnwritable,
    Holder,
    HostLocked,
    HostOutcome,
    NoSuchRollout,
    PlannedHost,
    RolloutNotResumable,
    open_history,
    schema,
)


def dead() -> Holder:
    """A process of this machine that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return replace(Holder.me(), pid=child, process_started="1")


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    with open_history(f"sqlite://{tmp_path}/state/history.db") as history:
        number = history.begin_rollout("deploy", strategy={"canary": 1}, details={"on": "web*"}).number
        history.plan_hosts(number, [PlannedHost("web2", 1, 3, "/old", "/new"), PlannedHost("web1", 1, 4, "/old", "/new")])
        history.host_started(number, "web2")
        history.record(number, {"event": "host_logged", "host": "web2", "line": "é"})
        history.host_ended(number, "web2", HostOutcome.FAILED, error={"message": "no space"})
        history.finish(number, "stopped", 1, reason="1 host failed")

    with open_history(tmp_path / "state" / "history.db") as history:
        assert [host.host for host in history.hosts_of(number)] == ["web2", "web1"]
        assert history.hosts_of(number)[0].previous_generation == 3
        assert history.last_of_hosts(["web2"])["web2"].error == {"message": "no space"}
        assert [record.event["line"] for record in history.events_of(number, host="web2")] == ["é"]
        assert history.rollouts(host="web1")[0].reason == "1 host failed"
        assert history.rollouts(host="web9") == ()


def test_a_rollout_whose_controller_died_is_interrupted_and_can_be_taken_over(tmp_path: Path) -> None:
    history = open_history(tmp_path / "h.db")
    number = history.begin_rollout("deploy", holder=dead()).number

    assert history.rollout(number).state == "interrupted"
    assert history.take_over(None).number == number
    assert history.rollout(number).state == "running"
    with pytest.raises(RolloutNotResumable):
        history.take_over(number)


def test_a_rollout_that_ended_is_not_resumed(tmp_path: Path) -> None:
    history = open_history(tmp_path / "h.db")
    with pytest.raises(NoSuchRollout):
        history.take_over(None)
    number = history.begin_rollout("deploy", holder=dead()).number
    history.finish(number, "done", 0)

    with pytest.raises(RolloutNotResumable):
        history.take_over(number)


def test_locks_are_all_or_none_and_of_the_dead_are_taken_over(tmp_path: Path) -> None:
    history = open_history(tmp_path / "h.db")
    elsewhere = Holder("bob@elsewhere", 7, "1", "boot", "elsewhere")
    history.lock(["a"], holder=dead())
    history.lock(["b"], holder=elsewhere)

    with pytest.raises(HostLocked):
        history.lock(["a", "b", "c"])
    assert [lock.host for lock in history.locks()] == ["a", "b"]
    history.lock(["a", "c"])
    assert history.break_locks(["b"])[0].holder == elsewhere
    history.unlock(["a", "c"])
    assert history.locks() == ()


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    path.write_bytes(b"this is no database at all" * 100)

    with pytest.raises(HistoryCorrupt):
        open_history(path)
    assert path.read_bytes().startswith(b"this is no")


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "h.db") as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    other.close()

    with pytest.raises(HistoryCorrupt):
        open_history(tmp_path / "h.db")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    open_history(tmp_path / "h.db").close()
    with sqlite3.connect(tmp_path / "h.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(HistoryNewer):
        open_history(tmp_path / "h.db")


def test_a_database_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "h.db") as connection:
        connection.executescript(schema.MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()

    history = open_history(tmp_path / "h.db")
    history.record_drift("web1", [("etc", "/etc/motd")], repaired=True)

    assert list(history.repairs_of("web1", since=0)) == [("etc", "/etc/motd")]


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    history = open_history(tmp_path / "h.db")
    number = history.begin_rollout("deploy").number
    pages = history._connection.execute("PRAGMA page_count").fetchone()[0]
    history._connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(HistoryUnwritable, match="no space"):
        history.plan_hosts(number, [PlannedHost(f"host{n}", 1, system="x" * 500) for n in range(100)])
    assert history.hosts_of(number) == ()


@pytest.mark.parametrize("url", ["postgresql://db/deployer", "mysql://x:secret@y/z", "sqlite://relative"])
def test_other_databases_are_refused_without_showing_passwords(url: str) -> None:
    with pytest.raises(HistorySchemeUnknown) as caught:
        open_history(url)

    assert "secret" not in str(caught.value)
