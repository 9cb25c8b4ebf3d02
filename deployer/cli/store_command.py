"""`deployer store`."""

from deployer.cli.store import command

__all__ = ["command"]
