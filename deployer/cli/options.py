"""Options that several commands have."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from deployer.cli import settings as known
from deployer.cli.amounts import duration, size
from deployer.cli.settings import Settings
from deployer.errors import ConfigurationError
from deployer.formats.goals import Goal

if TYPE_CHECKING:
    from deployer.cli.project import Project

_F = TypeVar("_F", bound=Callable[..., Any])


class RebootMeansBoot(ConfigurationError):
    """`--reboot` with a goal that does not go with it."""

    goal: str

    @property
    def message(self) -> str:
        """Which."""
        return f"--reboot brings the new generation with a boot, and the goal is {self.goal}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Leave --goal out, or give `--goal boot`."


on_option: Final = click.option(
    "--on", "selector", metavar="SELECTOR", help="Hosts: a name, web*, @group, label=value, a,b, a:&b, a:!b.  [default: all]"
)
dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def may_ask(settings: Settings, *, yes: bool) -> bool:
    """Whether somebody sits at the terminal who is to be asked before hosts change."""
    return not (yes or settings.as_json) and sys.stdin.isatty() and sys.stderr.isatty()


def json_option(function: _F) -> _F:
    """`--json` after the command's name means the same as before it."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
        if value and isinstance(context.obj, Settings):
            context.obj = dataclasses.replace(context.obj, as_json=True)
        return value

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, is_eager=True, help="Print JSON instead of text."
    )(function)


def store_option(function: _F) -> _F:
    """`--store-root DIR`, for commands that look into a store."""
    return _remembered(
        "store_root",
        "--store-root",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help=f"Where the store lies.  [default: {known.STORE_ROOT}, else ~/.local/share/deployer/root]",
    )(function)


def build_options(function: _F) -> _F:
    """How to build, and from where to fetch, for commands that may build."""
    many: dict[str, Any] = {"multiple": True, "metavar": "URL"}
    for option in reversed(
        (
            _remembered("build.substituters", "--substituter", envvar=known.SUBSTITUTERS, help="Ask this binary cache.", **many),
            _remembered(
                "build.trusted_keys",
                "--trusted-key",
                envvar=known.TRUSTED_KEYS,
                multiple=True,
                metavar="KEY",
                help="Believe what NAME:BASE64 has signed.",
            ),
            _remembered(
                "build.signatures",
                "--signatures",
                envvar=known.SIGNATURES,
                type=click.IntRange(min=1),
                metavar="N",
                help="Believe what N of the keys have signed.  [default: 1]",
            ),
            _remembered(
                "build.vendor",
                "--vendor",
                multiple=True,
                metavar="DIR|URL",
                help="Fetch nothing but from this vendor directory.  [default: DEPLOYER_VENDOR]",
            ),
            _remembered(
                "build.jobs", "-j", "--jobs", envvar=known.JOBS, type=click.IntRange(min=1), help="Builds at the same time."
            ),
            _remembered("build.builders", "--builder", envvar=known.BUILDER, help="What builds: ssh://HOST, nix.", **many),
            _remembered("build.keep_going", "-k", "--keep-going", is_flag=True, help="After a failure, build what can be."),
            _remembered("build.keep_failed", "-K", "--keep-failed", is_flag=True, help="Keep the directory of a failed build."),
            _remembered(
                "build.timeout",
                "--timeout",
                type=duration,
                metavar="TIME",
                help="The longest for one build.  [default: 1h]",
            ),
            _remembered(
                "build.silence_timeout",
                "--max-silent-time",
                type=duration,
                metavar="TIME",
                help="The longest that a build may print nothing.  [default: 30m]",
            ),
            _remembered(
                "build.log_limit",
                "--max-build-log-size",
                type=size,
                metavar="SIZE",
                help="The most for one log.  [default: 64M]",
            ),
        )
    ):
        function = option(function)
    return function


def _remembered(field: str, *names: str, **options: Any) -> Callable[[_F], _F]:
    """An option that is kept in the settings; what a command says goes before what was said to the left of it."""

    def remember(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value not in (None, (), False) and isinstance(context.obj, Settings):
            group, _, name = field.rpartition(".")
            changes: dict[str, Any] = {name: value}
            if group:
                changes = {group: dataclasses.replace(getattr(context.obj, group), **changes)}
            context.obj = dataclasses.replace(context.obj, **changes)
        return value

    return click.option(*names, expose_value=False, callback=remember, **options)


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


def goal_options(function: _F) -> _F:
    """`--goal` and `--reboot`."""
    goals = click.Choice([str(goal) for goal in Goal])
    for option in reversed(
        (
            click.option(
                "--goal",
                type=goals,
                help="From now on, from the next boot on, until the next boot, copied only, told only.  [default: switch]",
            ),
            click.option("--reboot", is_flag=True, help="Reboot into it, wave by wave, and confirm it then; the goal is boot."),
        )
    ):
        function = option(function)
    return function


def goal_of(goal: str | None, *, reboot: bool) -> Goal:
    """What the two options mean together. Raises `RebootMeansBoot`."""
    chosen = Goal.BOOT if goal is None and reboot else Goal(goal or Goal.SWITCH)
    if reboot and chosen not in (Goal.BOOT, Goal.DRY):
        raise RebootMeansBoot(str(chosen))
    return chosen


def project(context: click.Context) -> Project:
    """The project of the global options."""
    from deployer.cli.project import Project

    settings: Settings = context.obj
    return Project(settings)
