"""`builtin:loaded-program`: `bin/NAME`, a script that starts one program of a root tree by the tree's own loader.

The program has the libraries of the tree, and sees all files of the machine as they are. A starter (`isolated_programs`) shows it
the tree in place of the machine's `/usr`: one that is to read whatever a machine has, such as a backup's, would read the tree.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.isolated_programs import programs_in
from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ProgramNotLoadable, ProgramUnknown
from deployer.build.tree_writer import TreeWriter

_SCRIPT: Final = """\
#!/bin/sh
exec {command} "$@"
"""


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """What is to be started."""

    root: str
    """The store path of the root tree."""
    program: str
    """As a path of the tree."""

    def make(self, root: Path, destination: Path) -> None:
        """Make `destination`; the tree lies at `root`. Raises `ProgramUnknown`, `ProgramNotLoadable`, `ArchiveRefused`."""
        text = _SCRIPT.format(command=shlex.join(self._command(RootTree(root))))
        with TreeWriter(destination) as writer:
            writer.file(("bin", self.program.rpartition("/")[2]), [text.encode()], executable=True)

    def _command(self, tree: RootTree) -> list[str]:
        file = tree.leads_to(self.program)
        if file is None or not file.is_file():
            raise ProgramUnknown(tree.package, self.program, programs_in(tree.directory))
        elf = tree.elf(file)
        if elf is None:
            raise ProgramNotLoadable(tree.package, self.program)
        program = tree.in_store(file, self.root)
        return [*tree.loading(elf, self.root), program] if elf.loader else [program]
