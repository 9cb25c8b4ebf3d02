"""The inventory: which hosts there are, in which groups, how they are reached, and which configuration each has.

`load_fleet` reads our own YAML, Ansible's YAML and INI, directories of such, and programs that print Ansible's JSON.
`Fleet.select` picks hosts by a selector.
"""

from deployer.inventory.errors import InventoryError, SelectorError
from deployer.inventory.loading import load_fleet
from deployer.inventory.model import Connection, Fleet, GroupNode, Host, HostKeyPolicy

__all__ = [
    "Connection",
    "Fleet",
    "GroupNode",
    "Host",
    "HostKeyPolicy",
    "InventoryError",
    "SelectorError",
    "load_fleet",
]
