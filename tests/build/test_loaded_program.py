"""Programs of a root tree that its own loader starts, with the files of the machine in sight."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.build.elf import read_elf
from deployer.build.loaded_program import LoadedProgram
from deployer.build.source_errors import ProgramNotLoadable, ProgramUnknown

CAT = Path(shutil.which("cat") or "/bin/cat").resolve()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root tree with this machine's `cat`, by the name of `show`, and what it needs."""
    tree, loader = tmp_path / f"{'0' * 32}-tools", read_elf(CAT.read_bytes()).loader
    for directory in ("bin", "lib", "lib64"):
        (tree / "usr" / directory).mkdir(parents=True)
        (tree / directory).symlink_to(f"usr/{directory}")
    shutil.copy(CAT, tree / "usr/bin/show")
    (tree / "usr/bin/script").write_text("#!/bin/sh\n")
    listed = subprocess.run(["ldd", CAT], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+\.so\S*)", listed):
        shutil.copy(library, tree / "usr/lib" / Path(library).name)
    shutil.copy(Path(loader).resolve(), tree / loader.lstrip("/"))
    return tree


def make(root: Path, program: str, at: Path) -> Path:
    LoadedProgram(str(root), program).make(root, at)
    return at / "bin" / program.rpartition("/")[2]


def test_a_program_runs_by_the_loader_and_with_the_libraries_of_its_tree_and_sees_the_files_of_the_machine(root, tmp_path):
    script = make(root, "/bin/show", tmp_path / "out")

    maps = subprocess.run([script, "/proc/self/maps"], env={"LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
    release = subprocess.run([script, "/usr/lib/os-release"], capture_output=True, check=True).stdout

    mapped = set(re.findall(r" (/.*)", maps))
    assert f"{root}/usr/bin/show" in mapped
    assert [path for path in mapped if not path.startswith(f"{root}/")] == []
    assert release == Path("/usr/lib/os-release").read_bytes()


def test_a_program_that_is_not_there_is_told_with_the_nearest(root, tmp_path):
    with pytest.raises(ProgramUnknown) as caught:
        make(root, "/bin/shwo", tmp_path / "out")

    assert "Did you mean 'show'" in caught.value.remedy


def test_a_script_is_told_to_be_none_for_a_loader(root, tmp_path):
    with pytest.raises(ProgramNotLoadable, match=r"/bin/script of package 'tools' is a script"):
        make(root, "/bin/script", tmp_path / "out")
