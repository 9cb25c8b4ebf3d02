"""The live display of a terminal: one line a host, as many as fit; the rest is counted. Imports rich: use `sink_for`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deployer.formats.messages import Action
from deployer.rollout import events
from deployer.rollout.events import Event
from deployer.ui.failures import Failures
from deployer.ui.lines import PHASES, closing, sentence
from deployer.ui.text import Paint, duration, escape, name_of, size


@dataclass(slots=True)
class Row:
    """One host's line."""

    host: str
    phase: str = "waiting"
    style: str = "dim"
    bytes: int = 0
    started: float | None = None
    ended: float | None = None
    detail: str = ""

    @property
    def rank(self) -> int:
        """Under way first, then what went wrong, then what waits; what ended well last."""
        if self.started is not None and self.ended is None:
            return 0
        return {"red": 1, "yellow": 1, "dim": 2}.get(self.style, 3)


class Board:
    """What is to be drawn, built from events; knows nothing of terminals."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Empty."""
        self.rows: dict[str, Row] = {}
        self.heading = "Asking every host where it is"
        self._clock = clock

    def add(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, events.HostEvent):
            self._host(self.rows.setdefault(event.host, Row(event.host)), event)
        match event:
            case events.RolloutStarted(_, waves):
                ordered = [host for wave in waves for host in wave]
                rows = {host: self.rows.get(host) or Row(host) for host in ordered}
                self.rows = {**rows, **{host: row for host, row in self.rows.items() if host not in rows}}
            case events.BuildStarted(derivation):
                self.heading = f"Building {name_of(derivation)}"
            case events.PathFetched(path):
                self.heading = f"Fetched {name_of(path)}"
            case events.WaveStarted(wave, of, _, canary):
                self.heading = f"Wave {wave} of {of}{' (canary)' if canary else ''}"
            case events.BakeStarted(wave, seconds):
                self.heading = f"Wave {wave} is done; waiting {duration(seconds)} before the next"
            case events.RolloutStopped(reason):
                self.heading = f"Stopping: {escape(reason)}"
            case events.RollbackStarted(hosts):
                self.heading = f"Taking back {len(hosts)} hosts"
                for host in hosts:
                    self.rows[host] = Row(host, "going back", "yellow")

    def _host(self, row: Row, event: events.HostEvent) -> None:
        match event:
            case events.HostUnchanged():
                self._end(row, "unchanged", "dim")
            case events.HostUnreachable(_, error):
                self._end(row, "unreachable", "red", str(error.get("message", "")))
            case events.HostStarted():
                row.started, row.ended, row.phase, row.style = self._clock(), None, "starting", "cyan"
            case events.PathCopied(_, _, count):
                row.phase, row.bytes = "copying", row.bytes + count
            case events.ClosureCopied(_, count):
                row.phase, row.bytes = "copied", count
            case events.HostPhase(_, state):
                row.phase, row.detail = PHASES.get(state, state), ""
                row.started = self._clock() if row.started is None else row.started
            case events.ActionDone(_, action):
                row.detail = f"{action.operation} {action.target}"
            case events.CheckReported(_, result):
                row.detail = f"{result.name}: {result.message}"
            case events.HostConfirmed():
                self._end(row, "confirmed", "green")
            case events.HostStaged():
                self._end(row, "staged", "green")
            case events.HostPushed():
                self._end(row, "pushed", "green")
            case events.HostRolledBack(_, reason):
                self._end(row, "rolled back", "red", reason)
            case events.HostReturned():
                self._end(row, "returned", "yellow")
            case events.HostFailed(_, error):
                self._end(row, "failed", "red", str(error.get("message", "")))
            case events.HostNeedsPerson(_, error):
                self._end(row, "needs a person", "red", str(error.get("message", "")))

    def _end(self, row: Row, phase: str, style: str, detail: str = "") -> None:
        row.ended, row.phase, row.style, row.detail = self._clock(), phase, style, detail.split("\n", maxsplit=1)[0]

    def shown(self, height: int) -> tuple[list[Row], int]:
        """The lines that fit, the most urgent first chosen but in their own order, and how many do not fit."""
        rows = list(self.rows.values())
        if len(rows) <= height:
            return rows, 0
        kept = {id(row) for row in sorted(rows, key=lambda row: row.rank)[: max(1, height - 1)]}
        return [row for row in rows if id(row) in kept], len(rows) - len(kept)

    def elapsed(self, row: Row) -> str:
        """How long a host has been under way, or took."""
        if row.started is None:
            return ""
        return duration((row.ended if row.ended is not None else self._clock()) - row.started)


class LiveSink:
    """Draws a board while the rollout runs, and leaves the summary behind."""

    def __init__(self, stream: TextIO, *, colours: bool = True) -> None:
        """Draw on `stream`, a terminal."""
        self._console = Console(file=stream, no_color=not colours, highlight=False, soft_wrap=False)
        self._paint = Paint(colours)
        self._board = Board()
        self._failures = Failures()
        self._spinner = Spinner("dots")
        self._live: Live | None = Live(
            get_renderable=self._draw, console=self._console, refresh_per_second=8, transient=True, redirect_stdout=False
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self._failures.add(event)
        self._board.add(event)
        match event:
            case events.RolloutFinished():
                self.close()
                self._write(self._failures.render(self._paint) + closing(event, self._paint) + "\n")
            case (
                events.RolloutStarted()
                | events.ActionDone(action=Action(kind="kept"))
                | events.BuildFinished()
                | events.WaveStarted()
                | events.HostConfirmed()
                | events.HostStaged()
                | events.HostPushed()
                | events.HostReturned()
                | events.RolloutStopped()
                | events.RollbackStarted()
            ):
                self._write(sentence(event, self._paint, verbose=False) + "\n")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write(self, text: str) -> None:
        """Above the live lines."""
        if text.strip():
            self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def _draw(self) -> Table:
        rows, hidden = self._board.shown(max(3, self._console.height - 3))
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        outer = Table.grid()
        self._spinner.update(text=Text(self._board.heading, "bold"))
        outer.add_row(self._spinner)
        for row in rows:
            copied = size(row.bytes) if row.bytes else ""
            cells = (escape(row.host), escape(row.phase), copied, self._board.elapsed(row), escape(row.detail))
            styles = ("", row.style, "dim", "dim", "dim")
            grid.add_row(*(Text(cell, style) for cell, style in zip(cells, styles, strict=True)))
        outer.add_row(grid)
        if hidden:
            outer.add_row(Text(f"… and {hidden} more hosts", "dim"))
        return outer
