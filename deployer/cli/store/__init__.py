"""`deployer store`: what `nix-store` does, on our store. One module a command, loaded when it is called."""

from __future__ import annotations

from typing import Final

import click

from deployer.cli.lazy import LazyGroup
from deployer.cli.options import store_option

COMMANDS: Final[dict[str, str]] = {
    "add": "Add files or directories, and print their paths",
    "add-fixed": "Add files by a hash of their contents",
    "challenge": "Compare paths with what others made of the same",
    "copy": "Copy paths to a binary cache, or from one",
    "delete": "Remove paths that nothing needs",
    "diff-closures": "Compare the packages of two closures",
    "dump": "Write a file or directory to standard output as a NAR",
    "export": "Write paths to standard output, for another store",
    "gc": "Remove all paths that nothing needs",
    "hash": "Print the hash of files or directories",
    "import": "Take paths from standard input, from another store",
    "log": "Print the log of a build",
    "optimise": "Store equal files once",
    "path-info": "Show what is registered of paths",
    "query": "Ask what paths refer to, come from, or are kept by",
    "realise": "Build derivations, and fetch paths",
    "restore": "Unpack a NAR from standard input",
    "sign": "Sign paths with a key",
    "verify": "Check that the store holds what it says, and repair it",
    "why-depends": "Show why one path needs another",
}
"""Name to summary."""


class StoreGroup(LazyGroup):
    """What the kernel says of a user's files becomes an error with a remedy."""

    def invoke(self, context: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise
        except (OSError, UnicodeError) as error:
            from deployer.cli.store.errors import translate

            raise translate(error) from None


@click.group(cls=StoreGroup, package="deployer.cli.store", summaries=COMMANDS)
@store_option
def command() -> None:
    """Look into the controller's store and change it. Commands and options are named as those of nix-store.

    A PATH may be given as /nix/store/HASH-NAME, as HASH-NAME, as the place where it lies on this machine, as anything below
    these, or as a link to one.
    """
