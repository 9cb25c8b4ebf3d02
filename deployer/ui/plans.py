"""A plan as people read it: `+ ~ -`, hosts with equal plans together, a closing count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deployer.formats.messages import Action, Plan, Problem
from deployer.ui.text import Paint, count, escape, name_of

_SIGNS: Final = {"add": "+", "start": "+", "lock": "~", "unlock": "~", "remove": "-", "stop": "-", "skip": " ", "use": " "}
_STYLES: Final = {"+": "green", "~": "yellow", "-": "red", " ": "dim"}
_NAMES: Final = 6


def render_plan(plans: Mapping[str, Plan], paint: Paint | None = None) -> str:
    """What a deploy would do to each host; hosts come in the order given."""
    paint = paint or Paint()
    groups: dict[tuple[tuple[Action, ...], tuple[Problem, ...]], list[str]] = {}
    for host, plan in plans.items():
        groups.setdefault((plan.actions, plan.problems), []).append(host)
    lines: list[str] = []
    for (actions, problems), hosts in groups.items():
        if not actions and not problems:
            continue
        lines += [f"{paint(_heading(hosts), 'bold')}: {_tally(actions, paint)}", ""]
        lines += [action_line(action, paint) for action in actions]
        for problem in problems:
            lines += [f"  {paint('!', 'red', 'bold')} {escape(problem.target)}: {escape(problem.message)}"]
            lines += [f"      {escape(problem.remedy)}"] if problem.remedy else []
        lines.append("")
    return "\n".join([*lines, _closing(plans)]) + "\n"


def sign_of(operation: str) -> str:
    """`+` what comes, `-` what goes, `~` what changes."""
    return _SIGNS.get(operation, "~")


def _heading(hosts: list[str]) -> str:
    if len(hosts) == 1:
        return escape(hosts[0])
    names = ", ".join(escape(host) for host in hosts[:_NAMES])
    return f"{count(len(hosts), 'host')} ({names}{', …' if len(hosts) > _NAMES else ''})"


def _tally(actions: tuple[Action, ...], paint: Paint) -> str:
    signs = [sign_of(action.operation) for action in actions]
    return " ".join(paint(f"{sign}{signs.count(sign)}", _STYLES[sign]) for sign in "+~-" if sign in signs) or "no change"


def action_line(action: Action, paint: Paint) -> str:
    """One action: its sign, what it is done to, and why."""
    sign = sign_of(action.operation)
    target = name_of(action.target) if action.kind in {"generation", "store"} else escape(action.target)
    word = "" if action.operation in {"add", "change", "remove"} else f" {escape(action.operation)}"
    because = paint(f"  # {escape(action.because)}", "dim") if action.because else ""
    return f"  {paint(sign, _STYLES[sign])} {escape(action.kind)}{word} {target}{because}"


def _closing(plans: Mapping[str, Plan]) -> str:
    signs = [sign_of(action.operation) for plan in plans.values() for action in plan.actions]
    refused = sum(bool(plan.problems) for plan in plans.values())
    changing = sum(bool(plan.actions) for plan in plans.values())
    if not changing and not refused:
        return f"No changes. {count(len(plans), 'host')} as declared."
    text = f"Plan: {signs.count('+')} to add, {signs.count('~')} to change, {signs.count('-')} to remove"
    text += f" on {changing} of {count(len(plans), 'host')}."
    return f"{text} {count(refused, 'host')} cannot be changed: see the lines marked '!'." if refused else text
