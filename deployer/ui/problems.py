"""Errors as people read them: what, where (with the line itself), and what to do next."""

from __future__ import annotations

from pathlib import Path

from deployer.errors import DeployerError, ManyErrors, Place
from deployer.ui.text import Paint, count, escape


def render_error(error: DeployerError, paint: Paint | None = None) -> str:
    """One error, or many below each other and counted."""
    paint = paint or Paint()
    if isinstance(error, ManyErrors):
        blocks = [_one(member, paint) for member in error.errors]
        return "\n".join([*blocks, paint(count(len(blocks), "error"), "bold")]) + "\n"
    return _one(error, paint)


def _one(error: DeployerError, paint: Paint) -> str:
    first, *rest = escape(error.message, keep_newlines=True).split("\n")
    where = "".join(f"{escape(str(part))}: " for part in (error.location, error.on_host) if part)
    lines = [f"{paint('error', 'red', 'bold')}: {paint(where, 'bold')}{first}", *(f"  {line}" for line in rest)]
    if error.location is not None and error.shows_its_line:
        lines += excerpt(error.location, paint)
    if error.remedy:
        lines.append(f"  {paint('→', 'cyan')} {escape(error.remedy)}")
    return "\n".join(lines) + "\n"


def excerpt(place: Place, paint: Paint) -> list[str]:
    """The line that a place names, with a mark below the column; nothing where the file can't be read."""
    if place.line <= 0:
        return []
    try:
        text = Path(place.file).read_text(encoding="utf-8", errors="replace").splitlines()[place.line - 1]
    except (OSError, IndexError, ValueError):
        return []
    number = str(place.line)
    lines = [f"  {paint(number + ' │', 'dim')} {escape(text)[:160]}"]
    if 0 < place.column <= 160:
        before = len(escape(text[: place.column - 1]))
        lines.append(f"  {' ' * len(number)} {paint('│', 'dim')} {' ' * before}{paint('^', 'red', 'bold')}")
    return lines
