"""The command line: one module a command, each parses, calls one use case, prints, and returns an exit code.

`main` is the program's door: nothing that a user can cause passes it as a traceback.
"""

from deployer.cli.main import main

__all__ = ["main"]
