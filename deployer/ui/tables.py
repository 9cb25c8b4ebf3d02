"""Tables: columns as wide as what is in them, and no wider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from deployer.formats.messages import DriftItem, Generation, HostStatus
from deployer.history.records import HostRecord, RolloutRecord
from deployer.ui.text import Paint, count, duration, escape, size

_STYLES = {
    "done": "green",
    "confirmed": "green",
    "staged": "green",
    "pushed": "green",
    "partial": "yellow",
    "interrupted": "yellow",
    "running": "cyan",
    "unchanged": "dim",
    "not-started": "dim",
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], paint: Paint | None = None) -> str:
    """Left-aligned columns; cells are escaped. The last column is not padded."""
    paint = paint or Paint()
    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    lines = [paint("  ".join(text.ljust(width) for text, width in zip(headings, widths, strict=True)).rstrip(), "bold")]
    for row in cells:
        padded = [
            paint(text, _STYLES.get(text, "")) + " " * (width - len(text)) if text in _STYLES else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def history_table(rollouts: Sequence[RolloutRecord], paint: Paint | None = None) -> str:
    """Rollouts, one a line."""
    rows = [
        (
            str(record.number),
            _moment(record.started),
            record.command,
            record.state,
            duration(record.ended - record.started) if record.ended is not None else "",
            record.holder.who,
            record.reason,
        )
        for record in rollouts
    ]
    return table(("ROLLOUT", "STARTED (UTC)", "COMMAND", "STATE", "TOOK", "BY", "REASON"), rows, paint)


def hosts_table(hosts: Sequence[HostRecord], paint: Paint | None = None) -> str:
    """The hosts of one rollout."""
    rows = [
        (
            record.host,
            str(record.wave or "-"),
            record.outcome,
            f"{record.previous_generation or '-'} → {record.generation or '-'}",
            str(record.error.get("message", "")).split("\n")[0],
        )
        for record in hosts
    ]
    return table(("HOST", "WAVE", "OUTCOME", "GENERATION", "WHY"), rows, paint)


def status_table(
    statuses: Mapping[str, HostStatus | tuple[str, str]], last: Mapping[str, HostRecord] | None = None, paint: Paint | None = None
) -> str:
    """How hosts stand now (of one that could not be asked: a word and why), and how their last rollout ended."""
    rows = []
    for host, status in statuses.items():
        record = (last or {}).get(host)
        before = f"{record.outcome} (rollout {record.rollout})" if record else ""
        if isinstance(status, tuple):
            state, why = status
            rows.append((host, state, "", "", before, why))
        else:
            generation = str(status.generation or "-")
            if status.next_boot >= 0:
                generation += f" (next boot: {status.next_boot or '-'})"
            rows.append((host, status.state or "untouched", generation, _short(status.system), before, status.reason))
    return table(("HOST", "STATE", "GENERATION", "SYSTEM", "LAST ROLLOUT", "WHY"), rows, paint)


def generations_table(generations: Mapping[str, Sequence[Generation]], paint: Paint | None = None) -> str:
    """What hosts hold, oldest first. What the next collection takes has no reason to be kept."""
    rows = [
        (
            host,
            str(one.number),
            one.created.replace("T", " ").removesuffix("Z"),
            _short(one.system),
            size(one.bytes) if one.bytes else "lost",
            ", ".join(one.kept) or "-",
        )
        for host, found in generations.items()
        for one in found
    ]
    return table(("HOST", "GENERATION", "MADE (UTC)", "SYSTEM", "SIZE", "KEPT BECAUSE"), rows, paint)


def drift_table(drift: Mapping[str, Sequence[DriftItem]], paint: Paint | None = None) -> str:
    """Differences, one a line, and a closing count."""
    rows = [
        (host, item.kind, item.target, item.declared[:60], item.observed[:60]) for host, items in drift.items() for item in items
    ]
    if not rows:
        return f"No drift on {count(len(drift), 'host')}.\n"
    drifted = sum(bool(items) for items in drift.values())
    closing = f"{count(len(rows), 'difference')} on {drifted} of {count(len(drift), 'host')}.\n"
    return table(("HOST", "KIND", "TARGET", "DECLARED", "OBSERVED"), rows, paint) + closing


def _short(system: str) -> str:
    """Enough of a store path to tell systems apart."""
    return escape(system.rpartition("/")[2][:12])


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
