"""Rows of the database as records, and back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from deployer.history.holder import Holder
from deployer.history.records import EventRecord, HostOutcome, HostRecord, LockRecord, RolloutRecord


def text_of_holder(holder: Holder) -> str:
    """As the database keeps it; equal holders have equal texts."""
    return json.dumps(dataclasses.asdict(holder), sort_keys=True)


def rollout_of(row: Any) -> RolloutRecord:
    """A row of `rollouts`."""
    values = dict(row)
    values.update(
        holder=Holder(**json.loads(row["holder"])),
        strategy=json.loads(row["strategy"]),
        details=json.loads(row["details"]),
    )
    return RolloutRecord(**values)


def host_of(row: Any) -> HostRecord:
    """A row of `rollout_hosts`."""
    values = {key: row[key] for key in row.keys() if key != "position"}  # noqa: SIM118 - a row is no mapping
    values.update(outcome=HostOutcome(row["outcome"]), error=json.loads(row["error"]))
    return HostRecord(**values)


def event_of(row: Any) -> EventRecord:
    """A row of `events`."""
    return EventRecord(row["number"], row["rollout"], row["time"], json.loads(row["event"]))


def lock_of(row: Any) -> LockRecord:
    """A row of `locks`."""
    return LockRecord(row["host"], Holder(**json.loads(row["holder"])), row["rollout"], row["since"])
