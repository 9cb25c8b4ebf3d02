"""What people and programs see: progress drawn from events, plans, tables, errors.

Data goes to standard output, narration to standard error. Everything that a host sent is escaped before it is shown.
Functions return text and sinks write to the stream they are given, so all of it can be tested without a terminal.
`live` needs rich and is imported only where there is a terminal: use `sink_for`.
"""

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
