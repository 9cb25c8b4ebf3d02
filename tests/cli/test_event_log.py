"""`--log FILE`."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deployer.cli.event_log import LogUnwritable, open_log
from deployer.rollout import events


def test_every_event_is_a_line_with_time_level_and_fields(tmp_path: Path):
    log = open_log(tmp_path / "events.log")

    log(events.HostConfirmed("web1", 3, "/nix/store/x", 1.5))
    log(events.HostRolledBack("web2", "a check is red"))

    first, second = [json.loads(line) for line in (tmp_path / "events.log").read_text().splitlines()]
    assert (first["event"], first["level"], first["host"], first["generation"]) == ("host_confirmed", "info", "web1", 3)
    assert (second["event"], second["level"], second["reason"]) == ("host_rolled_back", "error", "a check is red")
    assert first["timestamp"].endswith("Z")


def test_the_log_is_its_owners_alone_and_is_added_to(tmp_path: Path):
    path = tmp_path / "events.log"
    open_log(path)(events.RolloutStopped("first"))
    open_log(path)(events.RolloutStopped("second"))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path):
    with pytest.raises(LogUnwritable, match="can't be written"):
        open_log(tmp_path / "missing" / "events.log")
