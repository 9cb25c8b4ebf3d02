"""What people and programs see: progress drawn from events, plans, tables, errors.

Data goes to standard output, narration to standard error. Everything that a host sent is escaped before it is shown.
Functions return text and sinks write to the stream they are given, so all of it can be tested without a terminal.
`live` needs rich and is imported only where there is a terminal: use `sink_for`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deployer.ui.differences import render_difference
    from deployer.ui.failures import Failures
    from deployer.ui.lines import JsonSink, PlainSink
    from deployer.ui.plans import render_plan
    from deployer.ui.problems import render_error
    from deployer.ui.sinks import Sink, sink_for
    from deployer.ui.tables import drift_table, generations_table, history_table, hosts_table, status_table, table
    from deployer.ui.text import Paint, escape

__all__ = [
    "Failures",
    "JsonSink",
    "Paint",
    "PlainSink",
    "Sink",
    "drift_table",
    "escape",
    "generations_table",
    "history_table",
    "hosts_table",
    "render_difference",
    "render_error",
    "render_plan",
    "sink_for",
    "status_table",
    "table",
]

_HOMES: Final = {
    "deployer.ui.differences": ("render_difference",),
    "deployer.ui.failures": ("Failures",),
    "deployer.ui.lines": (
        "JsonSink",
        "PlainSink",
    ),
    "deployer.ui.plans": ("render_plan",),
    "deployer.ui.problems": ("render_error",),
    "deployer.ui.sinks": (
        "Sink",
        "sink_for",
    ),
    "deployer.ui.tables": (
        "drift_table",
        "generations_table",
        "history_table",
        "hosts_table",
        "status_table",
        "table",
    ),
    "deployer.ui.text": (
        "Paint",
        "escape",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: most commands show little."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(name)
