"""Starts a program with the root tree of a package as its `/usr`: modules that a bare Python runs, here, on hosts and in packs.

    python3 -I -S start.py SPEC [--store DIRECTORY] -- PROGRAM [ARGUMENT…]

SPEC is a JSON document, or the file that it stands in: see `Spec`. The program gets a mount namespace of its own. In it, `/usr`
and its kin are the tree's; `/etc` has the tree's entries, and the machine's where the tree has none; all else is the machine's:
home, working directory, /tmp, /dev, /proc, /run, /var, network, terminal. No process stands in between: the program takes this
one's place, so signals, job control and exit status are its own. An ordinary user needs no right but that to user namespaces.
What is imported here is compiled at every start on machines that keep no byte code: so it is little.

Exit status, where no program was started: 125 nothing was; 126 it can't be run; 127 it is not there.
"""

import os

from deployer.sandbox.launcher.program import NOTHING_STARTED
from deployer.sandbox.launcher.spec import Spec

DIRECTORY = os.path.dirname(__file__)
START = "start.py"
"""Of the directory, what a Python is given to run."""

__all__ = ["DIRECTORY", "NOTHING_STARTED", "START", "Spec"]
