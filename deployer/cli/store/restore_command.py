"""`deployer store restore`."""

from __future__ import annotations

import click

from deployer.cli.store.printing import binary_input
from deployer.store.restoring import restore


@click.command("restore")
@click.argument("path")
def command(path: str) -> None:
    """Unpack a NAR from standard input to PATH, where nothing may stand yet. Files get ordinary modes and times."""
    restore(binary_input().read, path)
