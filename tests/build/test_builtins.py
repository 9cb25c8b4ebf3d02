"""The builders that run in our own process."""

import hashlib
import json
import os
import threading

import pytest

from deployer.build.builtins import BuiltinJob
from deployer.build.errors import BuilderUnknown, HashMismatch
from deployer.build.settings import BuildSettings
from deployer.build.source_errors import ArchiveRefused, FilesCollide
from deployer.sandbox.scratch import clear


@pytest.fixture
def run(tmp_path):
    (tmp_path / "scratch").mkdir()

    def run_builder(builder, **environment):
        job = BuiltinJob(
            derivation="x.drv",
            builder=f"builtin:{builder}",
            environment={name: value if isinstance(value, str) else json.dumps(value) for name, value in environment.items()},
            physical=lambda path: tmp_path / path.lstrip("/"),
            destination=tmp_path / "out",
            scratch=tmp_path / "scratch",
            settings=BuildSettings(),
            mirrors=dict,
            progress=lambda *_: None,
            cancelled=threading.Event(),
        )
        job.run()
        return tmp_path / "out"

    return run_builder


def test_a_tree_has_exactly_its_entries(run, tmp_path):
    (tmp_path / "source").write_bytes(b"\0bytes")
    entries = [
        {"path": "empty", "type": "directory"},
        {"path": "etc/motd", "type": "file", "text": "hello ü\n"},
        {"path": "bin/run", "type": "file", "source": "/source", "executable": True},
        {"path": "sw", "type": "symlink", "target": "/nix/store/x"},
    ]

    out = run("tree", entries=entries)

    assert sorted(os.listdir(out)) == ["bin", "empty", "etc", "sw"]
    assert (out / "etc/motd").read_text() == "hello ü\n"
    assert (out / "bin/run").read_bytes() == b"\0bytes"
    assert os.access(out / "bin/run", os.X_OK)
    assert os.readlink(out / "sw") == "/nix/store/x"


def test_a_tree_of_one_nameless_entry_is_that_file(run):
    out = run("tree", entries=[{"path": "", "type": "file", "text": "x", "executable": True}])

    assert out.read_text() == "x"
    assert out.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("paths", [["a", "a"], ["../a"], ["/a"], ["a", "a/b"]])
def test_a_tree_with_names_that_cannot_be_is_refused(run, paths):
    with pytest.raises(ArchiveRefused):
        run("tree", entries=[{"path": path, "type": "file", "text": ""} for path in paths])


def forest(tmp_path, **trees):
    for tree, files in trees.items():
        for name, text in files.items():
            (tmp_path / tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / tree / name).write_text(text)
    return " ".join(f"/{tree}" for tree in trees)


def test_a_forest_merges_directories_and_equal_files(run, tmp_path):
    paths = forest(tmp_path, a={"bin/x": "x", "share/same": "s"}, b={"bin/y": "y", "share/same": "s"})

    out = run("buildenv", paths=paths)

    assert sorted(os.listdir(out / "bin")) == ["x", "y"]
    assert os.readlink(out / "bin/y") == "/b/bin/y"
    assert os.readlink(out / "share/same") == "/a/share/same"


@pytest.mark.parametrize("second", [{"bin/x": "other"}, {"bin/x/below": "file"}, {"bin": "file"}])
def test_a_collision_names_both(run, tmp_path, second):
    paths = forest(tmp_path, a={"bin/x": "x"}, b=second)

    with pytest.raises(FilesCollide) as caught:
        run("buildenv", paths=paths)

    assert caught.value.first.startswith("/a/")
    assert caught.value.second.startswith("/b/")


def test_a_fetched_file_must_have_its_hash(run, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()

    assert run("fetchurl", url=f"file://{tmp_path}/file", outputHash=digest, outputHashAlgo="sha256").read_bytes() == b"content"
    with pytest.raises(HashMismatch):
        run("fetchurl", url=f"file://{tmp_path}/file", outputHash="00" * 32, outputHashAlgo="sha256")


def test_an_unknown_builder_is_refused(run):
    with pytest.raises(BuilderUnknown, match="builtin:magic"):
        run("magic")


def test_what_an_attempt_left_is_removed_whatever_its_modes(tmp_path):
    (tmp_path / "left/a/b").mkdir(parents=True)
    (tmp_path / "left/a/b/file").touch()
    (tmp_path / "left/link").symlink_to("/etc")
    (tmp_path / "left/a/b").chmod(0o000)
    (tmp_path / "left/a").chmod(0o500)

    clear(tmp_path / "left")

    assert not (tmp_path / "left").exists()
