"""The peers of the fleet benchmark: how each does the same work as we do, from one process, on the same hosts.

Each has a name of its own on the hosts (`bench-pyinfra`, `bench-ansible`, …) for its directory, user and unit, so that none
undoes another's work. They run from the environment that `script/bench` makes, with the lab's key and known hosts, at most 50
hosts at once.
"""

from __future__ import annotations

from benchmarks.peers.tools import ANSIBLE, MITOGEN, PEERS, PYINFRA, Command, Peer

__all__ = ["ANSIBLE", "MITOGEN", "PEERS", "PYINFRA", "Command", "Peer"]
