"""Packages to work with, here: what `deployer run`, `shell`, `develop` and `pack` put around a program.

`compose` decides what a program is to find: which package's tree is its `/usr`, and what is on its PATH. `ShellFile` is a
project's own choice, `shell.yaml`. The program itself is started by `deployer.sandbox.launcher`.
"""

from deployer.environments.composition import Environment, compose
from deployer.environments.shell_file import ShellFile

__all__ = ["Environment", "ShellFile", "compose"]
