"""npm packages unpacked into a project, and programs of it that run by the Node of a root tree of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.build.elf import read_elf
from deployer.build.isolated_programs import Starter
from deployer.build.limits import Limits
from deployer.build.node_environment import NodePrograms, NodeProject, NpmTarball
from deployer.build.source_errors import ArchiveRefused, InterpreterMissing
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import make_derivation, make_source
from deployer.sandbox.launcher import DIRECTORY
from tests.tarballs import make_tarball

REPORT = """\
#!/usr/bin/env node
const { fork } = require("child_process"), { said } = require("speak");
if (process.argv[2] === "child") process.send(process.execPath);
else fork(__filename, ["child"]).on("message", (child) => {
  const maps = require("fs").readFileSync("/proc/self/maps", "utf8").match(/\\/\\S+\\.so\\S*/g);
  console.log(JSON.stringify([process.argv.slice(2), said, child, [...new Set(maps)]]));
});
"""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root tree with the Node of this machine, as Debian packages would make it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    tree = tmp_path_factory.mktemp("interpreter") / "root"
    for directory in ("bin", "lib", "lib64"):
        (tree / "usr" / directory).mkdir(parents=True)
        (tree / directory).symlink_to(f"usr/{directory}")
    shutil.copy(Path(node).resolve(), tree / "usr/bin/node")
    listed = subprocess.run(["ldd", node], capture_output=True, text=True, check=True).stdout
    for library in [*re.findall(r"(/\S+\.so\S*)", listed), read_elf(Path(node).read_bytes()).loader]:
        target = tree / f"usr/{library.removeprefix('/usr').lstrip('/')}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    return tree


def project(at: Path, *tarballs: tuple[str, Path], programs: tuple[str, ...] = (), source: Path | None = None) -> Path:
    named = [NpmTarball(f"node_modules/{path}", file) for path, file in tarballs]
    NodeProject(named, programs, source).make(at, limits=Limits(total_bytes=1 << 20))
    return at


def programs(root: Path, of: Path, at: Path, **files: str) -> Path:
    starter = Starter(root=str(root), python="/usr", launcher=DIRECTORY, variable="IN_USE")
    NodePrograms(str(at), starter, str(of), files).make(root, of, at)
    return at


def files(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())


def test_a_program_runs_by_its_node_with_what_it_depends_on_and_nothing_of_the_machine(root: Path, tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/report.js").write_text(REPORT)
    speaks = {"index.js": "exports.said = require('word')\n", "bin/speak": "console.log('speak')\n"}
    speak = make_tarball(tmp_path, "speak", speaks)
    inner = make_tarball(tmp_path, "word", {"index.js": "module.exports = 'inner'\n"})
    outer = make_tarball(tmp_path, "word", {"index.js": "module.exports = 'outer'\n"}, version="2.0.0")
    tarballs = ("speak", speak), ("speak/node_modules/word", inner), ("word", outer)
    of = project(tmp_path / "project", *tarballs, source=tmp_path / "source")

    at = programs(root, of, tmp_path / "out", report="report.js", speak="node_modules/speak/bin/speak", gone="none.js")

    def run(*command: str | Path) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"}, timeout=60).stdout

    assert sorted(os.listdir(at / "bin")) == ["node", "report", "speak"]
    commands: list[list[str | Path]] = [[at / "bin/report", "a b"], [at / "bin/node", at / "app/report.js", "a b"]]
    for command in commands:
        arguments, said, child, objects = json.loads(run(*command))
        assert (arguments, said, child) == (["a b"], "inner", "/usr/bin/node")
        assert objects
        assert [name for name in objects if not (root / name.lstrip("/")).exists()] == []
    assert run(at / "bin/speak") == "speak\n"


def test_files_go_where_the_lock_file_says_and_the_sources_own_packages_are_left_out(tmp_path: Path):
    for name, text in {"cli.js": "1", "lib/a.js": "2", "node_modules/x/index.js": "3", "lib/node_modules/y.js": "4"}.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(text)
    (tmp_path / "source/link").symlink_to("/etc/passwd")
    scoped = make_tarball(tmp_path, "@s/tool", {"run.js": "", "other.js": ""}, top="tool-1.0")

    at = project(tmp_path / "out", ("@s/tool", scoped), programs=("node_modules/@s/tool/run.js",), source=tmp_path / "source")

    tool = "node_modules/@s/tool"
    assert files(at) == [
        *("cli.js", "lib/a.js", "lib/node_modules/y.js"),
        *(f"{tool}/other.js", f"{tool}/package.json", f"{tool}/run.js"),
    ]
    assert [bool((at / tool / name).stat().st_mode & 0o111) for name in ("run.js", "other.js")] == [True, False]


@pytest.mark.parametrize(
    ("head", "command"),
    [
        ("#!/usr/bin/env node\n", "/usr/bin/node {file}"),
        ("#!/usr/bin/env -S node --no-warnings\n", "/usr/bin/node --no-warnings {file}"),
        ("#!/usr/local/bin/nodejs --no-warnings\r\n", "/usr/bin/node --no-warnings {file}"),
        ("'use strict'\n", "/usr/bin/node {file}"),
        ("", "/usr/bin/node {file}"),
        ("#!/bin/sh\n", "{file}"),
        ("#!/usr/bin/env ts-node\n", "{file}"),
        ("#!", "{file}"),
    ],
)
def test_a_program_is_started_by_what_its_first_line_asks_for(root, tmp_path, head, command):
    of = project(tmp_path / "project", ("tool", make_tarball(tmp_path, "tool", {"run": head})))

    at = programs(root, of, tmp_path / "out", tool="node_modules/tool/run")

    file = f"{of}/node_modules/tool/run"
    assert (at / "bin/tool").read_text().partition(" -- ")[2] == f'{command.format(file=file)} "$@"\n'


@pytest.mark.parametrize(
    ("content", "links", "message"),
    [
        ({"../../outside.js": "x"}, {}, "leads out of the tree"),
        ({"node_modules/../../../outside.js": "x"}, {}, "leads out of the tree"),
        ({"a.js": "x"}, {"link": "/etc"}, "a link to an absolute path"),
        ({"a.js": "x"}, {"link": "../../outside"}, "a link out of the tree"),
        ({"a.js": "x" * (2 << 20)}, {}, "unpacks to more than"),
    ],
)
def test_a_hostile_tarball_is_refused_by_name_and_writes_nothing_outside(tmp_path, content, links, message):
    (tmp_path / "deep/er").mkdir(parents=True)
    tarball = make_tarball(tmp_path, "bad", content, links=links)

    with pytest.raises(ArchiveRefused, match=message) as caught:
        project(tmp_path / "deep/er/out", ("bad", tarball))

    assert caught.value.archive == tarball.name
    assert not list(tmp_path.rglob("outside*"))


def test_a_package_does_not_reach_into_another_by_a_link(tmp_path):
    outer = make_tarball(tmp_path, "outer", {"lib/a.js": "x"}, links={"node_modules": "lib"})
    inner = make_tarball(tmp_path, "inner", {"b.js": "x"})

    with pytest.raises(ArchiveRefused, match="goes through a link") as caught:
        project(tmp_path / "out", ("outer", outer), ("outer/node_modules/inner", inner))

    assert caught.value.archive == inner.name


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x1f\x8b\x08 and no more"])
def test_what_is_no_tarball_is_refused(tmp_path, content):
    (tmp_path / "bad-1.0.0.tgz").write_bytes(content)

    with pytest.raises(ArchiveRefused, match=r"bad-1\.0\.0"):
        project(tmp_path / "out", ("bad", tmp_path / "bad-1.0.0.tgz"))


def test_a_root_without_node_is_refused(tmp_path):
    root = tmp_path / f"{'0' * 32}-node"
    root.mkdir()

    with pytest.raises(InterpreterMissing, match="the tree of package 'node' has no /usr/bin/node") as caught:
        programs(root, project(tmp_path / "project"), tmp_path / "out")
    assert "Have Debian's own 'nodejs' among its `packages`, and run 'deployer lock'" in caught.value.remedy


async def test_they_are_builders_of_derivations_that_give_the_same_each_time(root, tmp_path, workshop):
    def source(path):
        return make_source(path, store_dir="/nix/store", ignored=frozenset())

    (tmp_path / "launcher").mkdir()
    tarball = source(make_tarball(tmp_path, "tool", {"run.js": ""}))
    interpreter, launcher = source(root), source(tmp_path / "launcher")
    made = make_derivation(
        "app-project",
        builder="builtin:node-project",
        system="builtin",
        environment={
            "packages": json.dumps([{"path": "node_modules/tool", "file": str(tarball.path)}]),
            "programs": json.dumps(["node_modules/tool/run.js"]),
        },
        sources=(tarball,),
        store_dir="/nix/store",
    )
    started = make_derivation(
        "app",
        builder="builtin:node-programs",
        system="builtin",
        environment={
            "root": str(interpreter.path),
            "python": str(interpreter.path),
            "launcher": str(launcher.path),
            "variable": "IN_USE",
            "project": str(made.output),
            "programs": json.dumps({"tool": "node_modules/tool/run.js"}),
        },
        inputs=(made,),
        sources=(interpreter, launcher),
        store_dir="/nix/store",
    )
    PackageSet({}).write(workshop.store, [started])

    out = await workshop.realise(started.path)

    assert os.readlink(out / "app") == str(made.output)
    assert f"-- /usr/bin/node {made.output}/node_modules/tool/run.js" in (out / "bin/tool").read_text()
    assert workshop.store.query(made.output).references == ()
    wanted = [interpreter.path, launcher.path, made.output, started.output]
    assert workshop.store.query(started.output).references == tuple(sorted(map(str, wanted)))
