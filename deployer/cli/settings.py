"""What the global options say, for every command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The options before the command's name."""

    inventories: tuple[Path, ...]
    as_json: bool
    color: bool
    log: Path | None = None
    """Where every event is written as well."""
