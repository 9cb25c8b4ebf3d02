"""A group whose commands' modules are imported only when they are called, so that start-up stays short."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Finds the command NAME in the module `PACKAGE.NAME_command`."""

    def __init__(self, *arguments: Any, package: str, summaries: Mapping[str, str], **options: Any) -> None:
        """`summaries` is all that the list of commands needs."""
        super().__init__(*arguments, **options)
        self._package, self._summaries = package, summaries

    def list_commands(self, context: click.Context) -> list[str]:
        """All, by name."""
        return sorted(self._summaries)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the command; nothing for a name that is none."""
        if name not in self._summaries:
            return None
        module = importlib.import_module(f"{self._package}.{name.replace('-', '_')}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self._summaries.items()))
