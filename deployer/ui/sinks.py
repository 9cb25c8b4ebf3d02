"""Which way of showing events fits the stream and the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol, TextIO

from deployer.rollout.events import Event
from deployer.ui.lines import JsonSink, PlainSink
from deployer.ui.text import Paint


class Sink(Protocol):
    """Takes events, and is closed at the end, whatever happened."""

    def __call__(self, event: Event) -> None:
        """Take one event."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def sink_for(
    *, out: TextIO, err: TextIO, json: bool = False, verbose: bool = False, environment: Mapping[str, str] = os.environ
) -> Sink:
    """JSON lines on `out`; else, on `err`, a live display on a terminal and plain lines anywhere else."""
    if json:
        return JsonSink(out)
    if err.isatty() and not verbose and environment.get("TERM", "dumb") != "dumb":
        from deployer.ui.live import LiveSink

        return LiveSink(err, colours=not environment.get("NO_COLOR"))
    return PlainSink(err, paint=Paint.for_stream(err, environment), verbose=verbose)
