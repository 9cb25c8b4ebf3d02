"""Requirements files: their wheels are found in an index when they are locked, and nothing is asked after that."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deployer.build import realise
from deployer.errors import ManyErrors, Place
from deployer.packages import PackageSet, web
from deployer.packages.errors import LockOutdated, PackageInvalid, PackageUnknown, PythonIndexFailed, PythonIndexUnknown
from deployer.packages.lock_changes import LockChange
from deployer.packages.lockfile import LOCK_NAME, Lock, LockedDebian, LockedWheels, WheelPin
from deployer.packages.locking import lock_packages
from deployer.packages.python.index_settings import VARIABLE, find_indexes
from deployer.packages.python.simple_index import SimpleIndex
from deployer.store import Store
from tests.packages.index_server import PythonIndex, serving
from tests.packages.test_python import debs
from tests.wheels import make_wheel

PACKAGES = """
python: {kind: debian, suite: bookworm, packages: [python3]}
app: {kind: python, interpreter: python, lock: app/requirements.txt}
"""
ROOT = LockedDebian(("bookworm",), ("python3",), "amd64", debs())


@pytest.fixture
def index(monkeypatch):
    """An index that this machine asks, and that does not make it wait."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(web, "FIRST_WAIT", 0.001)
    with serving(PythonIndex()) as made:
        monkeypatch.setenv(VARIABLE, made.url)
        yield made


@pytest.fixture
def project(tmp_path):
    """packages.yaml with `app`, whose interpreter is locked already."""
    (tmp_path / "packages.yaml").write_text(PACKAGES)
    (tmp_path / LOCK_NAME).write_text(str(Lock({"python": ROOT})))
    (tmp_path / "app").mkdir()
    return tmp_path


def require(project, *lines):
    """What the requirements file says."""
    (project / "app/requirements.txt").write_text("".join(f"{line}\n" for line in lines))


async def lock(project):
    """Lock the wheels; the interpreter stays as it is."""
    return await lock_packages(project / "packages.yaml", only=["app"], mirrors=[])


@pytest.mark.parametrize("as_html", [False, True])
async def test_the_best_wheel_that_the_hashes_allow_is_locked_with_its_name_url_size_and_hash(index, project, as_html):
    index.as_html = as_html
    tags = ["py3-none-any", "cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_x86_64", "cp311-cp311-win_amd64"]
    hashes = {tag: index.add(make_wheel(project, "Some.Tool", {"tool.py": "x"}, tag=tag)) for tag in tags}
    index.add(make_wheel(project, "Some.Tool", {"tool.py": "y"}, version="2.0"))
    require(project, "some-tool==1.0 \\", *(f"  --hash=sha256:{digest} \\" for digest in hashes.values()))

    locking = await lock(project)

    file = f"Some.Tool-1.0-{tags[1]}.whl"
    url = f"{index.url.removesuffix('simple')}files/{file}"
    pin = WheelPin("some-tool", "1.0", file, url, len(index.files[file]), hashes[tags[1]])
    assert locking.lock.python["app"] == LockedWheels((pin,))
    assert locking.changes == (LockChange("app", "some-tool", "", "1.0"),)
    assert Lock.read(project / LOCK_NAME) == locking.lock
    index.asked.clear()
    made = PackageSet.load(project / "packages.yaml").made("app")
    assert [item["name"] for item in json.loads(made.derivation.environment["wheels"])] == [file]
    assert index.asked == []


async def test_what_was_locked_is_fetched_by_its_hash(index, project):
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x = 1\n"}))
    require(project, f"tool==1.0 --hash=sha256:{digest}")
    await lock(project)
    packages = PackageSet.load(project / "packages.yaml")
    (wheel,) = [made for made in packages.made("app").inputs if made.output.name.endswith(".whl")]
    store = Store(project / "root", "/nix/store")
    packages.write(store, [wheel])

    await realise(store, [wheel.path])

    assert store.physical(wheel.output).read_bytes() == index.files["tool-1.0-py3-none-any.whl"]


async def test_the_environment_is_that_of_any_other_lock_file_with_the_same_wheels(index, project):
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x"}))
    require(project, f"tool==1.0 --hash=sha256:{digest}")
    await lock(project)
    (project / "app/pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "tool"\nversion = "1.0"\n'
        f'wheels = [{{ url = "https://files.example.org/tool-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest}" }} }}]\n'
    )
    required = PackageSet.load(project / "packages.yaml").output_path("app")

    (project / "packages.yaml").write_text(PACKAGES.replace("requirements.txt", "pylock.toml"))

    assert PackageSet.load(project / "packages.yaml").output_path("app") == required


async def test_only_what_the_platform_runs_by_marker_and_by_python_is_looked_up(index, project):
    old = index.add(make_wheel(project, "tool", {"tool.py": "x"}, tag="py2.py3-none-any"), requires_python=">=3.8")
    new = index.add(
        make_wheel(project, "tool", {"tool.py": "x"}, tag="cp311-abi3-manylinux_2_17_x86_64"), requires_python=">=3.12"
    )
    require(project, f"tool==1.0 --hash=sha256:{old} --hash=sha256:{new}", f"win==1 ; os_name == 'nt' --hash=sha256:{old}")

    locking = await lock(project)

    assert [pin.file for pin in locking.lock.python["app"].wheels] == ["tool-1.0-py2.py3-none-any.whl"]
    assert not any("/win/" in path for path in index.asked)


async def test_the_next_index_is_asked_where_one_lacks_the_file_or_does_not_answer(index, project, monkeypatch):
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x"}))
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:1/simple file://{project}/none {index.url}")
    require(project, f"tool==1.0 --hash=sha256:{digest}")

    assert len((await lock(project)).lock.python["app"].wheels) == 1


async def test_an_index_in_a_directory_is_asked_too(project, monkeypatch, index):
    wheel = make_wheel(project, "tool", {"tool.py": "x"})
    digest = index.add(wheel)
    index.as_html = True
    (project / "mirror/simple/tool").mkdir(parents=True)
    (project / "mirror/files").mkdir()
    shutil.copy(wheel, project / "mirror/files")
    (project / "mirror/simple/tool/index.html").write_bytes(index.page("tool")[1])
    monkeypatch.setenv(VARIABLE, f"file://{project}/mirror/simple")
    require(project, f"tool==1.0 --hash=sha256:{digest}")

    (pin,) = (await lock(project)).lock.python["app"].wheels

    assert (pin.url, pin.size) == (f"file://{project}/mirror/files/{wheel.name}", wheel.stat().st_size)


async def test_trouble_is_borne_and_what_stays_is_told_with_the_line(index, project):
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x"}))
    require(project, "# first", f"tool==1.0 --hash=sha256:{digest}")
    index.answers["/simple/tool/"] = [503, 429]
    assert (await lock(project)).lock.python

    index.answers["/simple/tool/"] = [500] * 4
    with pytest.raises(PythonIndexFailed, match="answered 500") as caught:
        await lock(project)

    assert str(caught.value.place).endswith("requirements.txt:2")
    for status in (401, 403):
        index.answers["/simple/tool/"] = [status]
        with pytest.raises(PythonIndexFailed, match=f"answered {status}"):
            await lock(project)


@pytest.mark.parametrize(
    ("line", "reason", "remedy"),
    [
        ("toll==1.0 --hash=sha256:{A}", "no index has a file of toll==1.0", "Check its name and version"),
        ("tool==9 --hash=sha256:{A}", "no index has a file of tool==9", "Check its name and version"),
        (
            "tool==1.0 --hash=sha256:{A}",
            r"hash that is allowed \(there are tool-1.0-py3-none-any.whl\)",
            "other files under this",
        ),
        ("other==1.0 --hash=sha256:{source}", "other 1.0 has no wheel, only a source distribution", "Build a wheel"),
        ("bare==1.0 --hash=sha256:{A}", "tells no sha256 hash", "another index"),
        ("win==1.0 --hash=sha256:{win}", "has no wheel for Python 3.11.2", "take another interpreter"),
        ("away==1.0 --hash=sha256:{away}", "none of http, https, file", "without a password"),
    ],
)
async def test_what_an_index_does_not_have_is_told_with_the_line(index, project, line, reason, remedy):
    index.add(make_wheel(project, "tool", {"tool.py": "x"}))
    index.add(make_wheel(project, "bare", {"tool.py": "x"}), hashes={})
    win = index.add(make_wheel(project, "win", {"tool.py": "x"}, tag="cp311-cp311-win_amd64"))
    away = index.add(make_wheel(project, "away", {"tool.py": "x"}), url="https://me:pw@example.org/away-1.0-py3-none-any.whl")
    (project / "other-1.0.tar.gz").write_text("sources")
    source = index.add(project / "other-1.0.tar.gz")
    before = (project / LOCK_NAME).read_text()
    require(project, "# first", line.format(A="aa" * 32, source=source, win=win, away=away))

    with pytest.raises(PackageInvalid, match=reason) as caught:
        await lock(project)

    assert remedy in caught.value.remedy
    assert caught.value.place == Place(str(project / "app/requirements.txt"), 2)
    assert (project / LOCK_NAME).read_text() == before


async def test_an_index_of_the_network_names_no_files_of_this_machine(index, project):
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x"}), url="file:///etc/passwd")
    require(project, f"tool==1.0 --hash=sha256:{digest}")

    with pytest.raises(PythonIndexFailed, match="on this machine, at file:///etc/passwd"):
        await lock(project)


@pytest.mark.parametrize("page", ["", "[]", '{"meta": {"api-version": "2.0"}, "files": []}', '{"meta": {"api-version": "1.0"}}'])
async def test_an_answer_that_is_not_of_the_api_is_refused(index, monkeypatch, page):
    monkeypatch.setattr(index, "page", lambda _: ("application/vnd.pypi.simple.v1+json", page.encode()))

    with pytest.raises(PythonIndexFailed, match="not of the simple API"):
        SimpleIndex(index.url).files("tool")


async def test_several_lines_that_are_not_found_are_told_together(index, project):
    require(project, f"a==1 --hash=sha256:{'aa' * 32}", f"b==1 --hash=sha256:{'aa' * 32}")

    with pytest.raises(ManyErrors) as caught:
        await lock(project)

    assert [str(error.location).rpartition(":")[2] for error in caught.value.errors] == ["1", "2"]


@pytest.fixture
def pin(index, project):
    """The wheel of `tool`, which is all that the project asks for."""
    digest = index.add(make_wheel(project, "tool", {"tool.py": "x"}))
    require(project, f"tool==1.0 --hash=sha256:{digest}")
    return WheelPin("tool", "1.0", "tool-1.0-py3-none-any.whl", "https://x.example/tool-1.0-py3-none-any.whl", 3, digest)


def load(project, *pins, root=ROOT):
    """The packages, with a lock of these wheels."""
    (project / LOCK_NAME).write_text(str(Lock({"python": root}, {"app": LockedWheels(pins)} if pins else {})))
    return PackageSet.load(project / "packages.yaml")


def test_remarks_and_a_newer_interpreter_make_no_lock_outdated(pin, project):
    before = load(project, pin).made("app").inputs[1]
    text = (project / "app/requirements.txt").read_text()
    (project / "app/requirements.txt").write_text(f"# remark\nwin==1 ; os_name == 'nt' --hash=sha256:{'aa' * 32}\n{text}")

    packages = load(project, pin, root=LockedDebian(("bookworm",), ("python3",), "amd64", debs(python="3.11.9-1")))

    assert packages.made("app").inputs[1] == before


def test_a_lock_that_says_something_else_than_the_file_is_refused(pin, project):
    cases = {
        "does not pin it": (),
        "has no wheel for tool==1.0 of requirements.txt": (replace(pin, sha256="aa" * 32),),
        "has no wheel for tool==1.0 of": (replace(pin, version="2.0", file="tool-2.0-py3-none-any.whl"),),
        "has no wheel for tool": (replace(pin, file="tool-1.0-cp312-cp312-win32.whl"),),
        "has no wheel": (replace(pin, file="other-1.0-py3-none-any.whl"),),
        "pins more, which is not asked for": (pin, replace(pin, name="more")),
    }
    for reason, pins in cases.items():
        with pytest.raises(LockOutdated, match=reason) as caught:
            load(project, *pins).output_path("app")
        assert "deployer lock" in caught.value.remedy

    with pytest.raises(PackageInvalid, match="password") as refused:
        load(project, replace(pin, url="https://me:pw@x.example/tool-1.0-py3-none-any.whl")).output_path("app")
    assert f"{LOCK_NAME}:" in str(refused.value.place)


async def test_an_update_of_another_package_asks_no_index_while_the_lock_is_good(pin, index, project):
    packages = (project / "packages.yaml").read_text()
    (project / "packages.yaml").write_text(
        packages + packages.partition("\napp")[2].join(["more", ""]).replace("app/", "app/more-")
    )
    digest = index.add(make_wheel(project, "other", {"other.py": "x"}))
    (project / "app/more-requirements.txt").write_text(f"other==1.0 --hash=sha256:{digest}\n")
    load(project, pin)

    locking = await lock_packages(project / "packages.yaml", only=["more"], mirrors=[])

    assert locking.lock.python["app"].wheels == (pin,)
    assert locking.changes == (LockChange("more", "other", "", "1.0"),)
    assert index.asked == ["/simple/other/"]
    with pytest.raises(PackageUnknown) as caught:
        await lock_packages(project / "packages.yaml", only=["mroe"], mirrors=[])
    assert "more" in caught.value.near


async def test_wheels_with_urls_and_paths_are_taken_as_they_are(index, project):
    wheel = make_wheel(project / "app", "own", {"own.py": "x = 1\n"})
    digest = index.add(wheel)
    url = f"{index.url}/../files/{wheel.name}".replace("own-", "far-")
    require(project, f"./{wheel.name} --hash=sha256:{digest}", f"far @ {url} --hash=sha256:{digest}")

    locking = await lock(project)

    assert (locking.lock.python, index.asked) == ({}, [])
    made = PackageSet.load(project / "packages.yaml").made("app")
    assert [source.origin for source in made.sources] == [wheel]
    assert [item["name"] for item in json.loads(made.derivation.environment["wheels"])] == [
        wheel.name.replace("own", "far"),
        wheel.name,
    ]


async def test_the_machine_goes_before_the_package_and_the_package_before_pip(tmp_path):
    (tmp_path / "etc/deployer").mkdir(parents=True)
    (tmp_path / "etc/deployer/python-indexes").write_text("# ours\nhttps://site.example/simple\n")
    nothing = {"HOME": str(tmp_path), "PATH": ""}
    extra = ("https://extra.example",)

    assert await find_indexes(["https://key.example"], extra, {VARIABLE: "https://a.example https://b.example"}) == (
        "https://a.example",
        "https://b.example",
    )
    assert await find_indexes(["https://key.example"], extra, nothing, root=tmp_path) == ("https://site.example/simple",)
    assert await find_indexes(["https://key.example"], extra, nothing, root=tmp_path / "none") == ("https://key.example", *extra)
    with pytest.raises(PythonIndexUnknown) as caught:
        await find_indexes([], (), nothing, root=tmp_path / "none")
    assert VARIABLE in caught.value.remedy
    with pytest.raises(PythonIndexFailed, match="password") as refused:
        await find_indexes([], (), {VARIABLE: "https://me:secret@a.example/simple"})
    assert "://…@a.example/simple" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.skipif(not (Path(sys.executable).parent / "pip").exists(), reason="there is no pip beside this Python")
async def test_what_pip_would_ask_is_asked_where_nothing_else_is_said(tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://conf.example/simple\nextra-index-url = https://more.example/x\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": str(Path(sys.executable).parent), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}

    found = await find_indexes([], ["https://extra.example"], environment, root=tmp_path)

    assert (found[0], found[-2:]) == ("https://conf.example/simple", ("https://more.example/x", "https://extra.example"))
    found = await find_indexes([], (), {**environment, "PIP_INDEX_URL": "https://variable.example/simple"}, root=tmp_path)
    assert found[0] == "https://variable.example/simple"
    # pip's own default, which we don't know and need not.
    found = await find_indexes([], (), {**environment, "PIP_CONFIG_FILE": "/dev/null"}, root=tmp_path)
    assert found[0].startswith("https://")
