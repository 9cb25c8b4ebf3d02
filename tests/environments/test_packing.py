"""One file that unpacks itself once, and starts a program in a tree of its own."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployer.environments.errors import PackFailed
from deployer.environments.packing import Pack, write_pack
from deployer.packages import PackageSet
from deployer.sandbox import launcher
from deployer.sandbox.launcher import Spec
from deployer.store import Store


@pytest.fixture
def pack(project, store_root, tmp_path):
    """What a pack of `base` is made of, with a Python that is this machine's."""
    store, tree = Store(store_root), PackageSet.load(tmp_path / "packages.yaml").made("base").output
    if not store.is_valid(tree):
        assert project.deployer("package", "build", "base").returncode == 0
    python = tmp_path / "python/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    paths = (
        store.add_tree("python", tmp_path / "python"),
        store.add_tree("launcher", Path(launcher.DIRECTORY), ignored=frozenset({"__pycache__"})),
        tree,
    )
    return store, Pack(Spec(root=str(tree)), paths[0], paths[1], "sh", contents=paths)


def start(file, *arguments, home, **variables):
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **variables}
    return subprocess.run([file, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_pack_unpacks_once_and_runs_its_program(pack, tmp_path):
    store, what = pack
    file, home = tmp_path / "pack.run", tmp_path / "home"
    home.mkdir()

    size = write_pack(store, what, file)
    with ThreadPoolExecutor(3) as pool:  # several at once, before anything is unpacked
        runs = [*pool.map(lambda _: start(file, "-c", 'cat /usr/share/mark; exit "$1"', "sh", "5", home=home), range(3))]
    packs = home / ".cache/deployer/packs"
    unpacked = os.listdir(packs)
    before = (packs / unpacked[0]).stat().st_mtime_ns
    again = start(file, "-c", "echo $0", "it's", home=home)

    assert [(one.returncode, one.stdout, one.stderr) for one in runs] == [(5, "of the tree\n", "")] * 3
    assert again.stdout == "it's\n"
    assert len(unpacked) == 1
    assert (packs / unpacked[0]).stat().st_mtime_ns == before
    assert file.stat().st_size == size


def test_equal_packs_are_equal_to_the_byte(pack, tmp_path):
    store, what = pack

    write_pack(store, what, tmp_path / "one")
    write_pack(store, what, tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_pack_that_is_damaged_or_finds_no_place_is_refused(pack, tmp_path):
    store, what = pack
    file, home = tmp_path / "pack.run", tmp_path / "home"
    home.mkdir()
    write_pack(store, what, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] + b"x" * 40)
    (tmp_path / "none").write_text("")

    damaged = start(file, "-c", "true", home=home)
    file.write_bytes(whole)
    nowhere = start(file, "-c", "true", home=tmp_path / "none")
    homeless = subprocess.run([file], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)

    assert (damaged.returncode, os.listdir(home / ".cache/deployer/packs")) == (125, [])
    assert "is damaged: fetch it again" in damaged.stderr
    assert nowhere.returncode != 0
    assert "HOME" in homeless.stderr
    with pytest.raises(PackFailed, match="nowhere"):
        write_pack(store, what, tmp_path / "nowhere" / "pack.run")


def test_a_pack_names_the_program_that_a_machine_lacks(pack, tmp_path):
    (store, what), compression = pack, "zstd"
    file = tmp_path / "pack.run"
    (tmp_path / "bin").mkdir()
    for program in ("sh", "mkdir", "mktemp", "tail", "sha256sum", "tar", "mv", "rm", "chmod"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or program)

    write_pack(store, Pack(what.spec, what.python, what.launcher, "", compression, what.contents), file)
    without = start(file, "sh", "-c", "true", home=tmp_path, PATH=str(tmp_path / "bin"))

    assert (without.returncode, f"this machine has no {compression}" in without.stderr) == (125, True)
    assert "say which program to start" in start(file, home=tmp_path).stderr
    if shutil.which(compression):
        assert start(file, "cat", "/usr/share/mark", home=tmp_path).stdout == "of the tree\n"
