"""What a benchmark prints, for people, and writes, for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]


def row(work: str, against: str, ours: Sequence[float], theirs: Sequence[float], **more: object) -> Row:
    """One result: the medians of two series of seconds, and their ratio."""
    mine, other = statistics.median(ours), statistics.median(theirs)
    figures = {"ratio": round(mine / other, 3), "ours_s": round(mine, 4), "theirs_s": round(other, 4), "runs": len(theirs)}
    return {"work": work, **more, "against": against, **figures}


def report(results: Sequence[Row], file: Path | None) -> None:
    """Print the table, and write the document if a file is given."""
    machine = {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }
    if file:
        file.write_text(json.dumps({"machine": machine, "results": list(results)}, indent=2) + "\n", encoding="utf-8")
    lines = [list(results[0]), *([str(value) for value in result.values()] for result in results)] if results else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
