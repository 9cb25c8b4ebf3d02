"""A small root tree for the sandbox, made of this machine's own programs: no network needed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAMS = (
    "sh",
    "cat",
    "ls",
    "id",
    "mkdir",
    "touch",
    "chmod",
    "cp",
    "ln",
    "sleep",
    "env",
    "echo",
    "head",
    "stat",
    "uname",
    "rm",
    "yes",
)


@pytest.fixture(scope="session")
def toolchain_tree(tmp_path_factory):
    """usr/bin and the libraries that its programs load."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    root = tmp_path_factory.mktemp("toolchain") / "root"
    (root / "usr/bin").mkdir(parents=True)
    for directory in ("lib", "lib64"):
        (root / "usr" / directory).mkdir()
        (root / directory).symlink_to(f"usr/{directory}")
    (root / "bin").symlink_to("usr/bin")
    for program in PROGRAMS:
        real = os.path.realpath(shutil.which(program) or program)
        shutil.copy(real, root / "usr/bin" / program)
        listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+\.so\S*)", listed):
            target = root / (library.lstrip("/") if library.startswith("/usr") else f"usr{library}")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    return Path(root)
