"""`deployer lab`."""

from deployer.lab.command import lab as command

__all__ = ["command"]
