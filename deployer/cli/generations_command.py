"""`deployer generations`."""

from deployer.cli.generations import command

__all__ = ["command"]
