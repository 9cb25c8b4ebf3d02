"""A controller whose user is not root builds all the same, and to the same bytes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534
BUILD = """
import asyncio, json, sys
from pathlib import Path
from deployer.build import realise
from deployer.formats import StorePath
from deployer.store import Store
store = Store(Path(sys.argv[1]))
paths = [StorePath.parse(path) for path in sys.argv[2:]]
asyncio.run(realise(store, paths))
print(json.dumps({path: store.query(path).nar_hash for path in store.database.all_paths()}))
"""
TREE = "mkdir $out; echo $inputs > $out/file; chmod 0 $out/file; mkdir -m 0 $out/closed; echo x > $out/run; chmod 711 $out/run"


async def test_a_user_who_is_not_root_builds_the_same(workshop):
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody; all other tests run without root already")
    low = workshop.script("low", "id -u > $out; uname -n >> $out; cat /etc/passwd >> $out")
    top = workshop.script("top", TREE, low)
    fixed = workshop.script("fixed", "echo > $out; chmod 0 $out", fixed=("md5", "68b329da9893e34099c7d8ad5cb9c940"))
    directory = Path(tempfile.mkdtemp(prefix="build-nobody-", dir="/tmp"))
    try:
        root = directory / "root"
        shutil.copytree(workshop.store.root, root, symlinks=True)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        command = [sys.executable, "-c", BUILD, str(root), str(top), str(fixed)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        theirs = json.loads(done.stdout)
    finally:
        shutil.rmtree(directory)

    await workshop.realise(top, fixed)

    assert theirs == {path: workshop.store.query(path).nar_hash for path in workshop.store.database.all_paths()}
