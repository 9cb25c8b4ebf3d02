"""What is cut out of a root tree for hosts without Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.build.elf import NotElf, read_elf
from deployer.build.host_python import host_python
from deployer.build.source_errors import ArchiveRefused, InterpreterMissing

PROGRAM = Path(shutil.which("true") or "/bin/true").resolve()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root tree as Debian has them, whose Python is a program that does nothing."""
    tree, loader = tmp_path / "root", read_elf(PROGRAM.read_bytes()).loader
    library = tree / "usr/lib/any-linux-gnu"
    standard = tree / "usr/lib/python3.99"
    for directory in (tree / "usr/bin", library, standard / "test", standard / "lib-dynload", standard / "json"):
        directory.mkdir(parents=True)
    shutil.copy(PROGRAM, tree / "usr/bin/python3.99")
    shutil.copy(Path(loader).resolve(), library / "loader")
    shutil.copy(next(Path("/usr/lib").glob("*-linux-gnu/libc.so.6")), library / "libc.so.6.real")
    (library / "libc.so.6").symlink_to("libc.so.6.real")
    (tree / loader.lstrip("/")).parent.mkdir(parents=True)
    (tree / loader.lstrip("/")).symlink_to("/usr/lib/any-linux-gnu/loader")
    for name in ("os.py", "json/decoder.py", "test/test_json.py", "turtle.py", "LICENSE.txt"):
        (standard / name).write_text("")
    for name in ("_ssl.cpython-399.so", "_curses.cpython-399.so"):
        shutil.copy(PROGRAM, standard / "lib-dynload" / name)
    (standard / "sitecustomize.py").symlink_to("/etc/python3.99/sitecustomize.py")
    return tree


def test_it_holds_the_program_its_loader_and_libraries_and_what_a_host_needs_of_the_standard_library(root: Path, tmp_path: Path):
    host_python(root, tmp_path / "out")

    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert {name for name in files if not name.startswith("lib/lib") and not name.startswith("lib/ld-")} == {
        *("bin/python", "bin/python3", "lib/ld.so"),
        *("lib/python3.99/json/decoder.py", "lib/python3.99/lib-dynload/_ssl.cpython-399.so", "lib/python3.99/os.py"),
    }
    assert "lib/libc.so.6" in files
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_it_runs_by_its_own_loader_wherever_it_lies(root: Path, tmp_path: Path):
    host_python(root, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "out", tmp_path / "elsewhere/it is here")
    shutil.rmtree(root)

    ended = subprocess.run(
        [tmp_path / "elsewhere/it is here/bin/python3", "-I", "x"], timeout=30, check=False, capture_output=True
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_links_of_the_tree_lead_nowhere_else(root: Path, tmp_path: Path):
    loader = root / read_elf(PROGRAM.read_bytes()).loader.lstrip("/")
    loader.unlink()
    loader.symlink_to("../" * 40 + str(PROGRAM).lstrip("/"))

    with pytest.raises(ArchiveRefused, match="leads to no file of the tree"):
        host_python(root, tmp_path / "out")


def test_a_tree_without_python_is_refused(root: Path, tmp_path: Path):
    (root / "usr/bin/python3.99").unlink()

    root = root.rename(tmp_path / f"{'0' * 32}-python")

    with pytest.raises(InterpreterMissing, match="the tree of package 'python' has no /usr/bin/python3") as caught:
        host_python(root, tmp_path / "out")
    assert "Have Debian's own 'python3' among its `packages`, and run 'deployer lock'" in caught.value.remedy


def test_what_is_cut_off_or_broken_is_refused_by_name():
    data = PROGRAM.read_bytes()

    for at in (0, 3, 20, 64, 100, 300):
        with pytest.raises(NotElf):
            read_elf(data[:at])
    for at in range(24, 64):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            read_elf(bytes(broken))
        except NotElf:
            continue
