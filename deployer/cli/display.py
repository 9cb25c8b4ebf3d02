"""What one command shows while it works, for a person or for a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import click

from deployer.cli.settings import Settings
from deployer.errors import DeployerError, JsonValue
from deployer.ui import Paint

if TYPE_CHECKING:
    from deployer.build.events import BuildEvent, GraphScheduled
    from deployer.formats.messages import Plan
    from deployer.rollout import events
    from deployer.ui import Sink


class Display:
    """Data on standard output, narration on standard error; with `--json` all of it is data."""

    def __init__(self, settings: Settings) -> None:
        """The sink is opened when the first event comes."""
        self._settings = settings
        self._sink: Sink | None = None
        self._environment = {**os.environ, **({} if settings.color else {"NO_COLOR": "1"})}
        self.paint = Paint.for_stream(sys.stdout, self._environment)
        self._errors_paint = Paint.for_stream(sys.stderr, self._environment)
        self._log: Callable[[events.Event], None] | None = None
        if settings.log is not None:
            from deployer.cli.event_log import open_log

            self._log = open_log(settings.log)

    def emit(self, event: events.Event) -> None:
        """Show one event."""
        if self._sink is None:
            from deployer.ui import sink_for

            self._sink = sink_for(out=sys.stdout, err=sys.stderr, json=self._settings.as_json, environment=self._environment)
        self._sink(event)
        if self._log is not None:
            self._log(event)

    def close(self) -> None:
        """Leave the terminal as it was."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def plan(self, plans: Mapping[str, Plan], unchanged: Sequence[str]) -> None:
        """Show what will be done."""
        if self._settings.as_json:
            document: dict[str, JsonValue] = {
                "event": "plan_made",
                "hosts": {name: plan.to_document() for name, plan in sorted(plans.items())},
                "unchanged": [*sorted(unchanged)],
            }
            self.data(document)
            return
        self.close()
        if plans:
            from deployer.ui import render_plan

            click.echo(render_plan(plans, self.paint))
        elif unchanged:
            click.echo(f"Nothing to do: {len(unchanged)} {'host is' if len(unchanged) == 1 else 'hosts are'} up to date.")

    def built(self, event: BuildEvent | GraphScheduled) -> None:
        """Show what a build tells."""
        for shown in _of_build(event):
            self.emit(shown)

    def error(self, error: DeployerError) -> None:
        """Show an error that does not end the command."""
        self.close()
        if self._settings.as_json:
            self.data(error.to_json())
        else:
            from deployer.ui import render_error

            click.echo(render_error(error, self._errors_paint), err=True)

    def data(self, document: Mapping[str, JsonValue]) -> None:
        """One JSON document on a line of standard output."""
        click.echo(json.dumps(document, sort_keys=True, ensure_ascii=False))

    def text(self, text: str) -> None:
        """A table or a page on standard output."""
        click.echo(text)

    def say(self, sentence: str) -> None:
        """Narration; programs don't get it."""
        if not self._settings.as_json:
            click.echo(sentence, err=True)

    def ask(self, question: str) -> bool:
        """A typed yes, or not."""
        self.close()
        return click.prompt(f"{question} Only `yes` does it", default="no", err=True) == "yes"

    def interrupted(self, *, again: bool) -> None:
        """Say what Ctrl-C has begun."""
        self.say(
            "Letting go: hosts under way decide for themselves."
            if again
            else "Stopping: hosts under way finish, no others begin. Once more lets go of them."
        )


def print_error(error: DeployerError, *, as_json: bool) -> None:
    """The last word of a command that failed."""
    if as_json:
        click.echo(json.dumps(error.to_json(), sort_keys=True, ensure_ascii=False))
    else:
        from deployer.ui import render_error

        click.echo(render_error(error, Paint.for_stream(sys.stderr)), err=True)


def _of_build(event: object) -> list[events.Event]:
    from deployer.build import events as build
    from deployer.rollout import events

    made: Callable[[str], str] = lambda path: PurePosixPath(path).name  # noqa: E731
    match event:
        case build.BuildStarted(derivation=derivation):
            return [events.BuildStarted(made(derivation))]
        case build.BuildLogged(derivation=derivation, line=line):
            return [events.BuildLog(made(derivation), line=line)]
        case build.BuildEnded(derivation=derivation, seconds=seconds):
            return [events.BuildFinished(made(derivation), succeeded=True, seconds=seconds)]
        case build.BuildStopped(derivation=derivation, error=error):
            return [events.BuildFinished(made(derivation), succeeded=False, error=error.to_json())]
        case build.PathSubstituted(path=path):
            return [events.PathFetched(path)]
    return []
