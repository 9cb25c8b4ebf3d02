"""Options that several commands have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from deployer.cli.project import Project
from deployer.cli.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])

on_option: Final = click.option(
    "--on", "selector", metavar="SELECTOR", help="Hosts: a name, web*, @group, label=value, a,b, a:&b, a:!b.  [default: all]"
)
dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def json_option(function: _F) -> _F:
    """`--json` after the command's name means the same as before it."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
        if value and isinstance(context.obj, Settings):
            context.obj = dataclasses.replace(context.obj, as_json=True)
        return value

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, is_eager=True, help="Print JSON instead of text."
    )(function)


def strategy_options(function: _F) -> _F:
    """The options that override the inventory's `rollout`."""
    for option in reversed(
        (
            click.option("--canary", metavar="N|N%|SELECTOR|none", help="Which hosts go first."),
            click.option("--waves", metavar="N,N%,…|label:NAME", help="The waves after the canary."),
            click.option("--max-parallel", metavar="N", help="Hosts that are changed at the same time."),
            click.option("--max-failures", metavar="N|N%", help="Hosts that may fail before the rollout stops."),
            click.option("--max-unreachable", metavar="N|N%", help="Hosts that may be out of reach."),
            click.option("--on-failure", metavar="stop|rollback-wave|rollback-all", help="What becomes of changed hosts then."),
            click.option("--bake-time", metavar="TIME", help="Wait between waves: 90s, 10m."),
        )
    ):
        function = option(function)
    return function


def project(context: click.Context) -> Project:
    """The project of the global options."""
    settings: Settings = context.obj
    return Project(settings)
