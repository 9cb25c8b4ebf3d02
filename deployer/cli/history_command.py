"""`deployer history`."""

from __future__ import annotations

import dataclasses

import click

from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.errors import JsonValue
from deployer.history import HostRecord, RolloutRecord
from deployer.ui import history_table, hosts_table


@click.command("history")
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--host", help="Only rollouts that had this host.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@click.option("--events", "with_events", is_flag=True, help="Every event of rollout NUMBER, as JSON lines.")
@json_option
@click.pass_context
def command(context: click.Context, number: int | None, host: str | None, limit: int, with_events: bool) -> None:
    """Show past rollouts, or the hosts and events of rollout NUMBER. Connects to nothing."""
    what = project(context)
    display = Display(what.settings)
    if number is None:
        rollouts = what.history.rollouts(limit=limit, host=host)
        if what.settings.as_json:
            for rollout in rollouts:
                display.data(_rollout(rollout))
        else:
            display.text(history_table(rollouts, display.paint).rstrip("\n"))
        return
    rollout = what.history.rollout(number)
    if with_events:
        for record in what.history.events_of(number, host=host):
            display.data({**record.event, "time": record.time})
        return
    hosts = what.history.hosts_of(number)
    if what.settings.as_json:
        display.data({**_rollout(rollout), "hosts": [_host(record) for record in hosts]})
    else:
        display.text(history_table([rollout], display.paint) + "\n" + hosts_table(hosts, display.paint).rstrip("\n"))


def _rollout(record: RolloutRecord) -> dict[str, JsonValue]:
    return {
        "rollout": record.number,
        "command": record.command,
        "by": record.holder.who,
        "started": record.started,
        "ended": record.ended,
        "state": record.state,
        "exit_code": record.exit_code,
        "reason": record.reason,
    }


def _host(record: HostRecord) -> dict[str, JsonValue]:
    return {**dataclasses.asdict(record), "outcome": str(record.outcome)}
