"""`deployer generations`: what hosts can return to, and the space that it takes. One module a command."""

from __future__ import annotations

from typing import Final

import click

from deployer.cli.lazy import LazyGroup

COMMANDS: Final[dict[str, str]] = {
    "collect": "Remove old generations, and all that nothing needs",
    "delete": "Remove generations by number",
    "diff": "Compare two generations",
    "list": "List generations, and why each is kept",
    "pin": "Keep a generation until it is unpinned",
    "switch": "Return hosts to a generation",
    "unpin": "Leave a generation to the policy again",
}
"""Name to summary."""


@click.group(cls=LazyGroup, package="deployer.cli.generations", summaries=COMMANDS)
def command() -> None:
    """Look at the generations that hosts hold, return to one, and remove others.

    The configuration's `generations` says which are kept. What is current, booted, last confirmed, pinned, or recorded to
    return to stays in any case.
    """
