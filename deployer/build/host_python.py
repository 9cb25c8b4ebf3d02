"""`builtin:host-python`: a Python for hosts that have none, cut out of a root tree of Debian packages.

    bin/python3     a script for /bin/sh that starts it; it finds its own place, so the tree runs wherever it lies
    bin/python      the program
    lib/            its loader (`ld.so`), the libraries that it and its modules need, and `python3.N/`

Of the standard library what a host has no use for is left out: tests, documentation, graphics, tools. The program is started
through its own loader and sees its own libraries only; of the host it needs the kernel and /bin/sh. Byte code is
not written, unless who runs it asks for that: the tree is read-only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deployer.build.root_tree import RootTree
from deployer.build.source_errors import ArchiveRefused
from deployer.build.tree_writer import TreeWriter

_LEFT_OUT: Final = re.compile(
    r"__pycache__|__phello__|_pyrepl|config(-.*)?|curses|dbm|distutils|ensurepip|idlelib|lib2to3|msilib|pydoc_data|(site|dist)-packages|"
    r"sitecustomize\.py|tests?|tkinter|turtledemo|turtle\.py|unittest|venv|wsgiref|xmlrpc"
)
_LEFT_OUT_MODULES: Final = re.compile(
    r"_test|_xxtest|xxlimited|_xx|_tkinter|_curses|readline|nis\.|_g?dbm|_crypt|audioop|ossaudiodev|_codecs_|spwd|_lsprof|"
    r"_bz2|_lzma|_uuid|_elementtree"
)
_STARTER: Final = """\
#!/bin/sh
here=${0%/bin/python3}
exec "$here/lib/ld.so" --inhibit-cache --library-path "$here/lib" --argv0 "$0" "$here/bin/python" -B "$@"
"""


def host_python(root: Path, destination: Path) -> None:
    """Make the tree `destination` out of the root tree `root`. Raises `InterpreterMissing`, `ArchiveRefused`."""
    tree = RootTree(root)
    program = tree.program()
    version = program.name
    library = root / "usr/lib" / version
    if not (library / "os.py").is_file():
        raise ArchiveRefused(root.name, f"usr/lib/{version}", "the standard library is not there")
    files = [(("lib", version, *path.relative_to(library).parts), path) for path in _standard_library(library)]
    elves = {path: elf for path in [program, *(path for _, path in files)] if (elf := tree.elf(path)) is not None}
    libraries = dict(tree.libraries(elves.values()))
    loader = tree.inside(elves[program].loader)
    with TreeWriter(destination) as writer:
        writer.file(("bin", "python3"), [_STARTER.encode()], executable=True)
        writer.file(("bin", "python"), [program.read_bytes()], executable=True)
        writer.file(("lib", "ld.so"), [loader.read_bytes()], executable=True)
        for name, path in sorted(libraries.items()):
            writer.file(("lib", name), [path.read_bytes()], executable=False)
        for parts, path in files:
            writer.file(parts, [path.read_bytes()], executable=False)


def _standard_library(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if _LEFT_OUT.fullmatch(path.name):
            continue
        if directory.name == "lib-dynload" and _LEFT_OUT_MODULES.match(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _standard_library(path)
        elif path.is_file() and path.suffix in (".py", ".so"):
            yield path
