"""A small root tree for the sandbox, made of this machine's own programs, and a store to build with it: no network needed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.build import BuildSettings, realise
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store

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
    "sort",
    "mkfifo",
    "mknod",
    "date",
    "find",
    "mv",
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


class Workshop:
    """A store with a toolchain, and what its builds told."""

    def __init__(self, root, toolchain):
        self.store, self.events = Store(root), []
        self.toolchain = str(self.store.add_tree("toolchain", toolchain))
        self._modulo = {}

    def script(self, name, script, *inputs, outputs=("out",), fixed=None, system="x86_64-linux", **attributes):
        """A derivation that runs a script. `inputs` are derivations' paths; `fixed` an algorithm and a digest."""
        needed = {str(item): tuple(self.outputs(item)) for item in inputs}
        draft = Derivation(
            name,
            {output: Output("", *fixed) if fixed else Output() for output in outputs},
            needed,
            (self.toolchain,),
            system,
            "/bin/sh",
            ("-e", "-c", script),
            {
                "PATH": "/usr/bin",
                "toolchain": self.toolchain,
                "inputs": " ".join(path for item in inputs for path in self.outputs(item).values()),
                **attributes,
                **dict.fromkeys(outputs, ""),
            },
        )
        derivation = with_output_paths(draft, self._modulo.__getitem__)
        path = self.store.write_derivation(derivation)
        self._modulo[str(path)] = hash_modulo(derivation, self._modulo.__getitem__)
        return path

    def outputs(self, path):
        text = self.store.physical(path).read_text()
        return {name: output.path for name, output in Derivation.parse(text, path.name).outputs.items()}

    def output(self, path, name="out"):
        return StorePath.parse(self.outputs(path)[name])

    async def realise(self, *paths, **settings):
        """Build, and return where the first's output lies."""
        await realise(self.store, paths, settings=BuildSettings(**settings), on_event=self.events.append)
        return self.store.physical(next(iter(self.outputs(paths[0]).values())))

    def names(self, kind):
        return [event.name for event in self.events if isinstance(event, kind)]


@pytest.fixture
def workshop(tmp_path, toolchain_tree):
    return Workshop(tmp_path / "root", toolchain_tree)
