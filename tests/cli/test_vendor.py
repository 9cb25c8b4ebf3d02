"""`deployer package vendor`: all that packages fetch in one directory, and builds from it where there is no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from deployer.packages import mirrors
from deployer.packages.python import index_settings
from tests.packages.index_server import PythonIndex, serving
from tests.packages.repository import Repository
from tests.tarballs import integrity, make_tarball
from tests.wheels import make_wheel

pytestmark = pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
PACKAGES = """
tool: {kind: debian, suite: testing, packages: [tool]}
python: {kind: debian, suite: testing, packages: [python3.11, libc6]}
node: {kind: debian, suite: testing, packages: [nodejs]}
host-python-x86_64: {kind: debian, suite: testing, packages: [python3.11]}
app: {kind: python, interpreter: python, lock: requirements.txt}
site: {kind: npm, interpreter: node, lock: package-lock.json}
words: {kind: archive, url: "URL", hash: "HASH"}
note: {kind: fetch, file: inventory.yaml}
"""
FILES = {
    "tool_1.0_amd64.deb",
    "lib_1.0_amd64.deb",
    "python3.11_3.11.2-6_amd64.deb",
    "libc6_2.36-9_amd64.deb",
    "nodejs_18_amd64.deb",
    "own-1.0-py3-none-any.whl",
    "word-1.0.0.tgz",
    "words.tar",
}
WITHOUT_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
can_unshare = pytest.mark.skipif(
    subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode != 0,
    reason="this user can make no network namespaces",
)


def last(out):
    """The document that comes after all events."""
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def project(deployer, tmp_path, keys, monkeypatch):
    """Packages of all kinds, locked; .debs come from a directory, all else from a loopback server."""
    (tmp_path / "mirror").mkdir()
    suite = Repository(tmp_path / "mirror", keys[1], keys[0])
    suite.add("tool", "1.0", Depends="lib")
    for name, version in [("lib", "1.0"), ("python3.11", "3.11.2-6"), ("libc6", "2.36-9"), ("nodejs", "18")]:
        suite.add(name, version)
    suite.publish()
    monkeypatch.setattr(mirrors, "_KEYRINGS", (keys[1],))
    monkeypatch.setenv(mirrors.VARIABLE, f"file://{tmp_path}/mirror")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(mirrors.VENDOR, raising=False)
    work = tmp_path / "work"
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/word").write_text("a word")
    archive = shutil.make_archive(str(tmp_path / "words"), "tar", tmp_path / "tree")
    with serving(PythonIndex()) as index:
        monkeypatch.setenv(index_settings.VARIABLE, index.url)
        digest = index.add(make_wheel(tmp_path, "own", {"own.py": "x = 1\n"}))
        tarball = make_tarball(tmp_path, "word", {"index.js": "1"})
        for file in (tarball, tmp_path / "words.tar"):
            index.files[file.name] = file.read_bytes()
        files = index.url.replace("simple", "files")
        (work / "requirements.txt").write_text(f"own==1.0 --hash=sha256:{digest}\n")
        entry = {"version": "1.0.0", "resolved": f"{files}/{tarball.name}", "integrity": integrity(tarball.read_bytes())}
        npm = {"": {"dependencies": {"word": "1"}}, "node_modules/word": entry}
        (work / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": npm}))
        with open(archive, "rb") as stream:
            pinned = base64.b64encode(hashlib.file_digest(stream, "sha256").digest()).decode()
        text = PACKAGES.replace("URL", f"{files}/words.tar").replace("HASH", f"sha256-{pinned}")
        (work / "packages.yaml").write_text(text)
        (work / "inventory.yaml").write_text("packages: packages.yaml\nhosts: {web1: {}}\n")
        assert deployer("lock").code == 0
        yield deployer, index


def test_the_directory_has_every_file_once_and_is_filled_up_and_pruned(project, tmp_path, monkeypatch):
    deployer, index = project
    vendor = tmp_path / "work/vendor"

    first = deployer("--json", "package", "vendor")

    assert first.code == 0, first.err
    assert set(last(first.out)["added"]) == FILES
    assert {entry["name"] for entry in json.loads((vendor / "vendor.json").read_text())} == FILES
    held = [place for place in vendor.rglob("*") if place.is_file() and place.name != "vendor.json"]
    assert len(held) == len(FILES)
    assert last(first.out)["bytes"] == sum(place.stat().st_size for place in held)
    assert all(hashlib.new(place.parent.name, place.read_bytes()).hexdigest() == place.name for place in held)

    index.asked.clear()
    assert last(deployer("--json", "package", "vendor").out)["added"] == []
    assert index.asked == []
    text = (tmp_path / "work/packages.yaml").read_text()
    (tmp_path / "work/packages.yaml").write_text("\n".join(line for line in text.splitlines() if not line.startswith("site")))
    told = deployer("package", "vendor")
    assert "no package needs 1 file\nsha512/" in told.out
    assert len([*(vendor / "sha512").iterdir()]) == 1
    assert "no package needs 1 file: removed" in deployer("package", "vendor", "--prune").out
    assert [*(vendor / "sha512").iterdir()] == []


def test_some_packages_can_be_named_and_then_nothing_is_pruned(project, tmp_path):
    deployer, _ = project

    told = deployer("--json", "package", "vendor", "tool", "--to", "some")

    assert set(last(told.out)["added"]) == {"tool_1.0_amd64.deb", "lib_1.0_amd64.deb", "python3.11_3.11.2-6_amd64.deb"}
    refused = deployer("package", "vendor", "tool", "--prune")
    assert (refused.code, "Leave the names out" in refused.err) == (2, True)
    unknown = deployer("package", "vendor", "tol")
    assert (unknown.code, "'tool'" in unknown.err) == (2, True)


def test_a_check_names_what_is_missing_or_damaged_and_changes_nothing(project, tmp_path):
    deployer, index = project
    index.asked.clear()

    told = deployer("package", "vendor", "--check")

    assert told.code == 1
    assert f"vendor lacks {len(FILES)} files" in told.err
    assert "words.tar (sha256-" in told.err
    assert not (tmp_path / "work/vendor").exists()
    assert index.asked == []
    assert deployer("package", "vendor").code == 0
    assert deployer("package", "vendor", "--check").code == 0
    (broken,) = (tmp_path / "work/vendor/sha512").iterdir()
    broken.write_text("rubbish")
    told = deployer("package", "vendor", "--check")
    assert (told.code, f"vendor/sha512/{broken.name} is not the pinned one" in told.err) == (1, True)


@can_unshare
def test_builds_without_a_network_take_all_from_the_directory(project, tmp_path):
    deployer, index = project
    assert deployer("package", "vendor").code == 0
    outputs = [last(deployer("--json", "package", "build", name).out)["output"] for name in ("tool", "words")]
    (tmp_path / "mirror").rename(tmp_path / "gone")
    environment = {**os.environ, "DEPLOYER_STORE_ROOT": str(tmp_path / "fresh")}
    del environment[mirrors.VARIABLE], environment[index_settings.VARIABLE]

    def alone(*arguments, **variables):
        command = [*WITHOUT_NETWORK, sys.executable, "-m", "deployer", *arguments]
        return subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=60)

    index.asked.clear()
    reach = f"import urllib.request; urllib.request.urlopen({index.url + '/own/'!r})"
    assert subprocess.run([*WITHOUT_NETWORK, sys.executable, "-c", reach], capture_output=True, check=False).returncode == 1
    built = alone("--json", "package", "build", "tool", "words", "--vendor", "vendor")
    assert built.returncode == 0, built.stderr
    assert [json.loads(line)["output"] for line in built.stdout.splitlines()[-2:]] == outputs
    # Every file of every kind, by way of the machine's variable, into another directory.
    copied = alone(
        "--json", "package", "vendor", "--vendor", "vendor", "--to", "copy", DEPLOYER_STORE_ROOT=str(tmp_path / "fresher")
    )
    assert copied.returncode == 0, copied.stderr
    assert set(last(copied.stdout)["added"]) == FILES
    (wheel,) = [
        entry["file"] for entry in json.loads((tmp_path / "work/vendor/vendor.json").read_text()) if "own" in entry["name"]
    ]
    (tmp_path / "work/vendor" / wheel).unlink()
    lacking = alone("package", "build", "app", DEPLOYER_VENDOR="vendor", DEPLOYER_STORE_ROOT=str(tmp_path / "third"))
    assert lacking.returncode == 1
    assert "own-1.0-py3-none-any.whl (sha256-" in lacking.stderr
    assert index.asked == []
