"""What is named wrongly is told with a remedy, and never as a traceback."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from deployer.cli.store import COMMANDS

GOOD = "0123456789abcdfghijklmnpqrsvwxyz"
UNKNOWN = f"/nix/store/{GOOD}-none"

BAD = [
    (("query", "nowhere"), 2, "there is no such file"),
    (("query", "/etc/passwd"), 2, "it stands elsewhere"),
    (("query", "/nix/store/short-name"), 2, "32 base-32 digits"),
    (("query", f"/nix/store/{GOOD}-"), 2, "names are"),
    (("query", UNKNOWN), 1, "is not valid in the store at"),
    (("query", f"{GOOD}-none", "--tree"), 1, "is not valid in the store at"),
    (("why-depends", UNKNOWN, UNKNOWN), 1, "is not valid in the store at"),
    (("add", "nowhere"), 1, "No such file"),
    (("add", "/dev/null"), 1, "can't be put into the store"),
    (("add", "."), 0, ""),
    (("add", "/"), 2, "can't be the name of a store path"),
    (("add-fixed", "sha256", "."), 2, "is not a plain file"),
    (("add-fixed", "sha3", "."), 2, "'sha3' is not one of"),
    (("hash", "nowhere"), 1, "No such file"),
    (("hash", "--flat", "."), 2, "is a directory"),
    (("hash", UNKNOWN), 1, "No such file"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=[" ".join(row[0])[:40] for row in BAD])
def test_bad_arguments(deployer, shelf, arguments, code, words):
    answer = deployer("store", *arguments)

    assert answer.code == code
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_tree_that_no_reader_would_take_is_refused(deployer, shelf, tmp_path):
    at, fits = tmp_path / "deep", tmp_path / "deep"
    for _ in range(64):
        at /= "d"
    at.mkdir(parents=True)
    assert deployer("store", "add", str(fits)).code == 0
    (at / "file").touch()

    for command in ("add", "hash", "dump"):
        answer = deployer("store", command, str(fits))
        assert (answer.code, "nested deeper than 64" in answer.err, "Traceback" in answer.err) == (1, True, False)


def test_names_that_are_near_are_offered(deployer, shelf):
    there = shelf.put("hello-1.2")

    answer = deployer("store", "query", f"{GOOD}-helo-1.2")

    assert f"Did you mean {there}?" in answer.err


def test_all_that_is_wrong_is_told_together(deployer, shelf):
    answer = deployer("store", "query", "--json", "nowhere", UNKNOWN)

    assert answer.code == 2
    assert [error["error"] for error in answer.document["errors"]] == ["NotInStore", "PathUnknown"]


def test_a_path_has_many_names(deployer, shelf, tmp_path):
    path = shelf.put("named", shelf.put("low"))
    physical = shelf.store.physical(path)
    os.symlink(physical, "result")
    os.symlink("result", "second")
    os.symlink(str(path), "logical")
    os.symlink(tmp_path, "elsewhere")
    names = [str(path), path.base_name, str(physical), f"{physical}/file", "result", "second", "logical", "./result/file"]
    names += [f"elsewhere/ours/nix/store/{path.base_name}", f"{path}/file"]

    for name in names:
        assert (name, deployer("store", "query", "--resolve", name).out) == (name, f"{path}\n")


def test_the_store_may_be_named_before_the_command_or_after_it(deployer, shelf, monkeypatch):
    path, root = str(shelf.put("one")), str(shelf.store.root)
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", "/nowhere")

    for arguments in (
        ("--store-root", root, "store", "query"),
        ("store", "--store-root", root, "query"),
        ("store", "query", "--store-root", root),
        ("--store-root", "/nowhere", "store", "query", "--store-root", root),
    ):
        assert deployer(*arguments, path).out == f"{path}\n"


def test_looking_makes_no_store(deployer, tmp_path):
    answer = deployer("store", "--store-root", str(tmp_path / "none"), "query", UNKNOWN)

    assert (answer.code, "there is no store at" in answer.err) == (1, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", [("dump", "."), ("export", "PATH")])
def test_bytes_are_not_written_to_a_terminal(shelf, command):
    path = shelf.put("one")
    arguments = [sys.executable, "-m", "deployer", "store", *(str(path) if word == "PATH" else word for word in command)]
    environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(shelf.store.root), "PYTHONPATH": os.pathsep.join(sys.path)}
    master, slave = pty.openpty()

    done = subprocess.run(arguments, stdout=slave, stderr=subprocess.PIPE, env=environment, timeout=60, check=False)

    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert b"which is a terminal" in done.stderr


def test_a_question_costs_few_imports(shelf):
    path = shelf.put("one")
    heavy = ("asyncio", "asyncssh", "cryptography", "rich", "structlog", "yaml", "zstandard", "deployer.inventory", "deployer.ui")
    code = f"""
import sys
from deployer.cli.main import run
code = run(["store", "query", "--requisites", {str(path)!r}])
sys.exit(code or ", ".join(name for name in {heavy!r} if name in sys.modules) or None)
"""
    environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(shelf.store.root), "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_helps(deployer, name):
    answer = deployer("store", name, "--help")

    assert answer.code == 0
    assert answer.out.startswith(f"Usage: deployer store {name} ")
