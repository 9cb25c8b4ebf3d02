"""The fleet: which hosts there are, how they are reached, and what they are to be.

`load_fleet` reads inventories of our own format and of Ansible's, several of them merged; `Fleet.select` picks hosts.
Everything that is wrong with the sources is raised together, each with its place.
"""

from __future__ import annotations

from deployer.inventory.loading import load_fleet
from deployer.inventory.models import Connection, Fleet, Host

__all__ = ["Connection", "Fleet", "Host", "load_fleet"]
