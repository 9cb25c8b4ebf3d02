"""Wheels unpacked for an interpreter that lies in a root tree of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.build.elf import read_elf
from deployer.build.limits import Limits
from deployer.build.python_environment import PythonEnvironment, Wheel
from deployer.build.source_errors import ArchiveRefused, FilesCollide
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import make_derivation, make_source
from tests.wheels import make_wheel

PROGRAM = Path("/usr/bin/python3").resolve()
VERSION = subprocess.run(
    [PROGRAM, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True
).stdout.strip()
SHORT = VERSION.rpartition(".")[0]
REPORT = """
import json, multiprocessing, re, ssl, subprocess, sys
def seen():
    maps = open("/proc/self/maps").read()
    return [sys.argv[1:], sys.prefix, sys.executable, sorted(set(re.findall(r"/\\S+\\.so\\S*", maps)))]
def main():
    print(json.dumps(seen()))
def parent():
    command = [sys.executable, "-I", "-c", "from app import main; main()", *sys.argv[1:]]
    started = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(json.dumps([seen(), json.loads(started), pool.apply(seen)]))
"""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root tree with the Python of this machine, as Debian packages would make it."""
    tree = tmp_path_factory.mktemp("interpreter") / "root"
    skipped = shutil.ignore_patterns(
        "__pycache__", "test", "config-*", "idlelib", "tkinter", "ensurepip", "lib2to3", "sitecustomize.py"
    )
    shutil.copytree(f"/usr/lib/python{SHORT}", tree / f"usr/lib/python{SHORT}", ignore=skipped)
    (tree / "usr/bin").mkdir()
    shutil.copy(PROGRAM, tree / "usr/bin")
    elf = read_elf(PROGRAM.read_bytes())
    (tree / elf.loader.lstrip("/")).parent.mkdir(parents=True)
    shutil.copy(Path(elf.loader).resolve(), tree / elf.loader.lstrip("/"))
    libraries = next(Path("/usr/lib").glob("*-linux-gnu/libc.so.6")).parent
    (tree / libraries.relative_to("/")).mkdir(parents=True)
    names = "libc.so.6 libm.so.6 libz.so.1 libexpat.so.1 libssl.so.3 libcrypto.so.3 libgcc_s.so.1 libbz2.so.1.0 liblzma.so.5"
    for name in names.split():
        shutil.copy((libraries / name).resolve(), tree / libraries.relative_to("/") / name)
    return tree


def environment(root: Path, at: Path, *wheels: Path, source: Path | None = None, needs_link: bool = False) -> Path:
    named = [Wheel(wheel.name, wheel) for wheel in wheels]
    PythonEnvironment(str(at), str(root), VERSION, named, source, needs_link).make(root, at, limits=Limits(total_bytes=1 << 20))
    return at


@pytest.fixture(params=[False, True], ids=["by name", "by link"])
def needs_link(request: pytest.FixtureRequest) -> bool:
    """Either way in which the interpreter is started: the loader of this machine can do both."""
    return bool(request.param)


def test_scripts_run_by_their_interpreter_with_its_own_libraries_only(root: Path, tmp_path: Path, needs_link: bool):
    app = make_wheel(tmp_path, "app", {"app/__init__.py": REPORT}, scripts={"report": "app:main"})
    (tmp_path / "source").mkdir()
    (tmp_path / "source/ours.py").write_text("from app import main\nmain()\n")
    at = environment(root, tmp_path / "out", app, source=tmp_path / "source", needs_link=needs_link)

    isolated = "from app import main; main()"
    commands: list[list[str | Path]] = [
        [at / "bin/report", "a b"],
        [at / "bin/python3", "-m", "ours", "a b"],
        [at / "bin/python", "-I", "-c", isolated, "a b"],
    ]
    for command in commands:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
        arguments, prefix, executable, objects = json.loads(ended.stdout)

        assert arguments == ["a b"]
        assert (prefix, executable) == (str(at), str(at / "bin/python3"))
        assert any("libssl" in name for name in objects)
        assert [name for name in objects if not name.startswith(str(root))] == []


def test_children_are_started_as_their_parent_was(root: Path, tmp_path: Path, needs_link: bool):
    files = {"app/__init__.py": REPORT, "app.pth": "import multiprocessing.spawn\n"}
    app = make_wheel(tmp_path, "app", files, scripts={"parent": "app:parent"})
    at = environment(root, tmp_path / "out", app, needs_link=needs_link)

    ended = subprocess.run([at / "bin/parent", "a b"], capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})

    for arguments, prefix, executable, objects in json.loads(ended.stdout):
        assert arguments == ["a b"]
        assert (prefix, executable) == (str(at), str(at / "bin/python3"))
        assert [name for name in objects if not name.startswith(str(root))] == []


def test_what_a_wheel_holds_goes_where_pip_would_put_it(root: Path, tmp_path: Path):
    files = {
        "app.py": "x = 1\n",
        "__pycache__/app.cpython-311.pyc": "not taken",
        "app-1.0.data/scripts/tool": "#!python\nprint(1)\n",
        "app-1.0.data/data/share/app/words": "w",
        "app-1.0.data/headers/app.h": "h",
    }
    at = environment(root, tmp_path / "out", make_wheel(tmp_path, "app", files))

    site = f"lib/python{SHORT}/site-packages"
    found = {str(path.relative_to(at)) for path in at.rglob("*") if path.is_file()}
    assert found == {
        *("bin/python", "bin/python3", "bin/tool", "pyvenv.cfg", "share/app/words", f"include/site/python{SHORT}/app/app.h"),
        *(f"{site}/app.py", *(f"{site}/app-1.0.dist-info/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL"))),
    }
    assert (at / "bin/tool").read_text() == f"#!{at}/bin/python3\nprint(1)\n"
    assert (at / "bin/tool").stat().st_mode & 0o111
    record = (at / site / "app-1.0.dist-info/RECORD").read_text()
    assert re.search(r"^\.\./\.\./\.\./bin/tool,sha256=", record, re.MULTILINE)


@pytest.mark.parametrize(
    ("files", "scripts", "message"),
    [
        ({"../../outside.py": "x"}, {}, "leads out of the tree"),
        ({"/etc/outside.py": "x"}, {}, "app-1.0"),
        ({"app-1.0.data/scripts/../../../outside": "x"}, {}, "leads out of the tree|app-1.0"),
        ({"app-1.0.data/nowhere/x": "x"}, {}, "no sound wheel"),
        ({"app.py": "x"}, {"../../outside": "app:main"}, "a name with a slash"),
        ({"app.py": "x"}, {"tool": "app"}, "no sound wheel"),
        ({"app.py": "x" * (2 << 20)}, {}, "unpacks to more than"),
    ],
)
def test_a_hostile_wheel_is_refused_by_name_and_writes_nothing_outside(root, tmp_path, files, scripts, message):
    (tmp_path / "deep/er").mkdir(parents=True)
    wheel = make_wheel(tmp_path, "app", files, scripts=scripts)

    with pytest.raises(ArchiveRefused, match=message) as caught:
        environment(root, tmp_path / "deep/er/out", wheel)

    assert caught.value.archive == wheel.name
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"rubbish"])
def test_what_is_no_wheel_is_refused(root, tmp_path, content):
    (tmp_path / "app-1.0-py3-none-any.whl").write_bytes(content)

    with pytest.raises(ArchiveRefused, match="app-1"):
        environment(root, tmp_path / "out", tmp_path / "app-1.0-py3-none-any.whl")


def test_wheels_may_share_equal_files_and_no_others(root, tmp_path):
    first = make_wheel(tmp_path, "first", {"shared/__init__.py": "", "shared/a.py": "a"})
    second = make_wheel(tmp_path, "second", {"shared/__init__.py": "", "shared/b.py": "b"})
    third = make_wheel(tmp_path, "third", {"shared/a.py": "another"})

    environment(root, tmp_path / "out", first, second)
    with pytest.raises(FilesCollide) as caught:
        environment(root, tmp_path / "again", first, third)
    assert (caught.value.first, caught.value.second) == (first.name, third.name)


async def test_it_is_a_builder_of_derivations(root, tmp_path, workshop):
    wheel = make_source(make_wheel(tmp_path, "app", {"app.py": "x = 1\n"}), store_dir="/nix/store", ignored=frozenset())
    interpreter = make_source(root, store_dir="/nix/store", ignored=frozenset())
    made = make_derivation(
        "app",
        builder="builtin:python-environment",
        system="builtin",
        environment={
            "interpreter": str(interpreter.path),
            "version": VERSION,
            "wheels": json.dumps([{"name": wheel.origin.name, "file": str(wheel.path)}]),
        },
        sources=(wheel, interpreter),
        store_dir="/nix/store",
    )
    PackageSet({}).write(workshop.store, [made])

    out = await workshop.realise(made.path)

    assert f"--library-path {interpreter.path}/usr/lib" in (out / "bin/python3").read_text()
    assert workshop.store.query(made.output).references == tuple(sorted([str(interpreter.path), str(made.output)]))
