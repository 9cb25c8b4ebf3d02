"""What differs between two generations, as people read it."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.formats.messages import GenerationDifference, PackageChange
from deployer.ui.plans import action_line
from deployer.ui.text import Paint, escape, size


def render_difference(differences: Mapping[str, GenerationDifference], paint: Paint | None = None) -> str:
    """Host by host; hosts come in the order given."""
    paint = paint or Paint()
    lines: list[str] = []
    for host, found in differences.items():
        grown = found.bytes_after - found.bytes_before
        lines.append(
            f"{paint(escape(host), 'bold')}: generation {found.before} -> {found.after},"
            f" {size(found.bytes_before)} -> {size(found.bytes_after)} ({_signed(grown)})"
        )
        lines += [action_line(action, paint) for action in found.actions]
        lines += [_package(change, paint) for change in found.packages]
        if not found.actions and not found.packages:
            lines.append("  no difference")
        lines.append("")
    return "\n".join(lines)


def _package(change: PackageChange, paint: Paint) -> str:
    sign, style = ("+", "green") if not change.removed else ("-", "red") if not change.added else ("~", "yellow")
    versions = " -> ".join(", ".join(version or "-" for version in side) for side in (change.removed, change.added) if side)
    told = f" {escape(versions)}" if versions not in ("", "-") else ""
    return f"  {paint(sign, style)} package {escape(change.name)}{told}{paint(f'  # {_signed(change.bytes)}', 'dim')}"


def _signed(grown: int) -> str:
    return f"{'-' if grown < 0 else '+'}{size(abs(grown))}"
