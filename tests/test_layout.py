"""The house stays in order: who may import whom, which doors lead outside, and that everything public says what it is for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "deployer"

MAY_IMPORT: dict[str, set[str]] = {
    "inventory": set(),
    "config": set(),
    "formats": set(),
    "store": {"formats"},
    "cache": {"formats", "store"},
    "packages": {"formats", "config"},
    "sandbox": {"formats", "store"},
    "build": {"store", "cache", "sandbox"},
    "generation": {"config", "packages", "build"},
    "environments": {"generation"},
    "materials": {"packages", "build"},
    "host": {"formats", "store", "sandbox"},
    "ssh": {"inventory"},
    "copy": {"ssh", "store", "formats"},
    "rollout": {"inventory", "generation", "copy", "history"},
    "drift": {"generation", "copy", "history"},
    "history": set(),
    "ui": {"inventory", "generation", "rollout", "history", "drift"},
    "lab": {"ssh"},
}
"""Room to the rooms that it may import, and through them what those may. `cli` may import all; all may import `errors`."""

ADDED = {
    ("build", "packages"): "the recipe of a package says how its inputs are fetched and packed",
    ("packages", "store"): "instantiating a package set writes its sources and derivations into a store",
    ("packages", "sandbox"): "the launcher of programs is a package of ours",
    ("rollout", "host"): "checks from the controller are probed by the code that probes on hosts",
    ("drift", "rollout"): "a repair is reported by the events and results of a rollout",
}
"""Imports besides those, each with its reason."""

SHARED = {"", "errors", "process", "records", "yaml_source"}
"""Single modules, and the package itself, that stand in no room."""
TRAVELLING = {"errors", "records", "formats", "store", "sandbox", "host"}
"""What runs on hosts: standard library only, Python 3.9."""
LATER_LIBRARY = {"compression"}
"""Parts of the standard library that came after the Python of this machine; their absence is handled."""
CONTROLLER_DOORS = {"process", "yaml_source"}

SUBPROCESS_DOORS = {"deployer/process.py", "deployer/host/process.py", "deployer/sandbox/bubbles.py", "deployer/sandbox/cells.py"}
"""The only files that start programs: on the controller, on a host, and in the sandbox, whose output is streamed."""
PRINTERS = ("deployer/cli/", "deployer/ui/", "deployer/host/main.py")
"""The command line and what it draws with; on a host, the runtime's own entry."""
STARTERS = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "system", "popen"}


@dataclass(frozen=True)
class Import:
    """One name that a file imports when it runs."""

    file: Path
    line: int
    module: str

    @property
    def room(self) -> str:
        """The room that the importing file is in."""
        return room_of(self.file)

    @property
    def target(self) -> str | None:
        """The room that is imported; None where the module is not ours."""
        parts = self.module.split(".")
        if parts[0] != "deployer":
            return None
        return parts[1] if len(parts) > 1 and ((PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()) else ""

    def __str__(self) -> str:
        """As compilers name a place."""
        return f"{self.file.relative_to(ROOT)}:{self.line}: imports {self.module}"


def room_of(file: Path) -> str:
    """The first part of a file's path below the package, without its suffix."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources(*directories: str) -> list[Path]:
    """All Python files below these directories."""
    return sorted(path for directory in directories for path in (ROOT / directory).rglob("*.py"))


@cache
def tree_of(file: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports_of(file: Path) -> Iterator[Import]:
    """What a file imports when it runs; what only type checkers see is left out."""
    skipped = {id(inner) for node in ast.walk(tree_of(file)) if is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree_of(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute here"
            if node.module == "deployer":
                yield from (Import(file, node.lineno, f"deployer.{name.name}") for name in node.names)
            else:
                yield Import(file, node.lineno, node.module or "")


def is_for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@cache
def reachable(room: str) -> frozenset[str]:
    """The rooms that a room may import."""
    direct = MAY_IMPORT[room]
    return frozenset(direct.union(*(reachable(other) for other in direct)))


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_its_place_allows(room):
    allowed = reachable(room) | {room} | SHARED | {added for at, added in ADDED if at == room}

    found = [str(one) for file in sources(f"deployer/{room}") for one in imports_of(file) if one.target not in {None, *allowed}]

    assert found == []


def test_every_room_has_a_place():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}

    assert rooms <= {*MAY_IMPORT, "cli"}


@pytest.mark.parametrize(("room", "other"), sorted(ADDED))
def test_an_added_import_is_still_needed(room, other):
    assert any(one.target == other for file in sources(f"deployer/{room}") for one in imports_of(file))


def test_what_travels_to_hosts_leans_on_the_standard_library_only():
    files = [file for file in sources("deployer") if room_of(file) in TRAVELLING]
    found = [one for file in files for one in imports_of(file)]

    known = sys.stdlib_module_names | LATER_LIBRARY
    foreign = [str(one) for one in found if one.target is None and one.module.split(".")[0] not in known]
    left_behind = [str(one) for one in found if one.target in CONTROLLER_DOORS]

    assert foreign + left_behind == []


def test_modules_are_written_against_the_public_interface_only():
    found = [str(one) for file in sources("modules") for one in imports_of(file) if one.module.startswith("deployer")]

    assert [line for line in found if not line.endswith(" deployer.config")] == []


def test_programs_are_started_by_the_doors_only():
    found = []
    for file in sources("deployer", "modules"):
        if file.relative_to(ROOT).as_posix() in SUBPROCESS_DOORS:
            continue
        found += [str(one) for one in imports_of(file) if one.module == "subprocess"]
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTERS:
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node.func)}")

    assert found == []


def test_only_the_ssh_room_knows_asyncssh():
    files = [file for file in sources("deployer", "modules") if not file.is_relative_to(PACKAGE / "ssh")]

    assert [str(one) for file in files for one in imports_of(file) if one.module.split(".")[0] == "asyncssh"] == []


def test_rooms_do_not_print():
    files = [file for file in sources("deployer", "modules") if not file.relative_to(ROOT).as_posix().startswith(PRINTERS)]
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert found == []


@pytest.mark.parametrize("file", sources("deployer", "modules"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_everything_public_says_what_it_is_for(file):
    assert list(undocumented(tree_of(file), file.relative_to(ROOT).as_posix())) == []


def undocumented(node: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    """What is public in a module or class, and has no docstring."""
    if not ast.get_docstring(node):
        yield where
    for member in node.body:
        if not isinstance(member, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or member.name.startswith("_"):
            continue
        name = f"{where}:{member.lineno} {member.name}"
        if isinstance(member, ast.ClassDef):
            yield from undocumented(member, name)
        elif not ast.get_docstring(member) and not is_repetition(member):
            yield name


def is_repetition(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the docstring stands elsewhere: at the getter, at the implementation, or at what is overridden."""
    return any(
        ast.unparse(decorator).split(".")[-1] in {"setter", "overload", "override"} for decorator in function.decorator_list
    )


LEFTOVERS = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
REGISTRIES = re.compile(
    "|".join(
        [
            r"(?:deb|security|snapshot|archive|ftp[.a-z]*)\." + r"debian\.org",
            r"py" + r"pi\.org",
            "pythonhosted" + r"\.org",
            "npmjs" + r"\.(?:org|com)",
        ]
    )
)


def texts() -> Iterator[tuple[Path, str]]:
    """All text files of the project, those that git ignores left out."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listing.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


@pytest.mark.parametrize("words", [LEFTOVERS, REGISTRIES], ids=["leftovers", "registries"])
def test_no_file_has_words_that_do_not_belong(words):
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if words.search(line)
    ]

    assert found == []
