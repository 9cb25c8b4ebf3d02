"""Which wheels a lock file means, and what is refused."""

from __future__ import annotations

import json

import pytest

from deployer.packages import PackageSet
from deployer.packages.errors import FileChanged, LockOutdated, PackageInvalid
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian
from deployer.packages.python import PythonPlatform, select_wheels
from tests.wheels import make_wheel, sha256

A, B = "aa" * 32, "bb" * 32
SITE = "https://files.example.org"


def debs(python="3.11.2-6+deb12u6", glibc="2.36-9+deb12u13"):
    names = {"python3.11": python, "python3": "3.11.2-1+b1", "libc6": glibc}
    return tuple(LockedDeb(name, version, "amd64", f"pool/{name}.deb", 1, "00" * 32) for name, version in names.items())


def platform(architecture="amd64", **versions):
    return PythonPlatform.of("python", architecture, debs(**versions), asker="app", place=None)


UV = f"""
version = 1
requires-python = ">=3.9"

[[package]]
name = "app"
version = "0"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "fast", extra = ["more"] }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
    {{ name = "forked", version = "2", marker = "python_full_version >= '3.10'" }},
    {{ name = "forked", version = "1", marker = "python_full_version < '3.10'" }},
]
optional-dependencies = {{ web = [{{ name = "web" }}] }}
dev-dependencies = {{ dev = [{{ name = "tests" }}] }}

[[package]]
name = "fast"
version = "1.0"
source = {{ registry = "https://index.example.org/simple" }}
optional-dependencies = {{ more = [{{ name = "more" }}] }}
wheels = [
    {{ url = "{SITE}/fast-1.0-py3-none-any.whl", hash = "sha256:{B}", size = 10 }},
    {{ url = "{SITE}/fast-1.0-cp311-cp311-manylinux_2_37_x86_64.whl", hash = "sha256:{B}", size = 11 }},
    {{ url = "{SITE}/fast-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", hash = "sha256:{A}", size = 12 }},
    {{ url = "{SITE}/fast-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", hash = "sha256:{B}", size = 13 }},
    {{ url = "{SITE}/fast-1.0-cp311-cp311-win_amd64.whl", hash = "sha256:{B}", size = 14 }},
]
"""
PLAIN = """
[[package]]
name = "{name}"
version = "{version}"
source = {{ registry = "https://index.example.org/simple" }}
wheels = [{{ url = "https://files.example.org/{name}-{version}-py3-none-any.whl", hash = "sha256:{digest}", size = 9 }}]
"""
UV += "".join(
    PLAIN.format(name=name, version=version, digest=A)
    for name, version in [("more", "1"), ("forked", "1"), ("forked", "2"), ("web", "1"), ("tests", "1"), ("colorama", "1")]
)
PYLOCK = f"""
lock-version = "1.0"
created-by = "test"
requires-python = ">=3.9"

[[packages]]
name = "fast"
version = "1.0"
wheels = [
    {{ url = "{SITE}/fast-1.0-py3-none-any.whl", hashes = {{ sha256 = "{B}" }} }},
    {{ url = "{SITE}/fast-1.0-cp311-abi3-manylinux2014_x86_64.whl", size = 12, hashes = {{ sha256 = "{A}" }} }},
]

[[packages]]
name = "colorama"
version = "1"
marker = "sys_platform == 'win32'"
wheels = [{{ url = "{SITE}/colorama-1-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}]
"""


def select(tmp_path, name, text, on=None, **asked):
    (tmp_path / name).write_text(text)
    asked = {"extras": (), "groups": (), **asked}
    return select_wheels("app", tmp_path / name, on or platform(), place=None, **asked)


def test_a_uv_lock_means_what_its_project_needs_here_and_the_best_wheel_of_each(tmp_path):
    fast, forked, more = select(tmp_path, "uv.lock", UV)

    assert (fast.name, fast.filename, fast.size) == ("fast", "fast-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", 12)
    assert fast.digest == "sha256-qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="
    assert fast.place.line == UV[: UV.index("fast-1.0-cp311-cp311-manylinux_2_28_x86_64")].count("\n") + 1
    assert (forked.version, more.name) == ("2", "more")


def test_extras_and_groups_are_taken_where_they_are_asked_for(tmp_path):
    names = [wheel.name for wheel in select(tmp_path, "uv.lock", UV, extras=("web",), groups=("dev",))]

    assert names == ["fast", "forked", "more", "tests", "web"]
    with pytest.raises(PackageInvalid, match="no extra 'wbe'") as caught:
        select(tmp_path, "uv.lock", UV, extras=("wbe",))
    assert "web" in caught.value.remedy


def test_a_pylock_means_what_its_markers_let_through(tmp_path):
    (fast,) = select(tmp_path, "pylock.toml", PYLOCK)

    assert (fast.filename, fast.size) == ("fast-1.0-cp311-abi3-manylinux2014_x86_64.whl", 12)


def test_the_wheels_are_those_of_the_interpreters_machine_and_c_library(tmp_path):
    (fast, *_) = select(tmp_path, "uv.lock", UV, platform("arm64"))
    assert fast.filename.endswith("aarch64.whl")

    (fast, *_) = select(tmp_path, "uv.lock", UV, platform(glibc="2.41-12"))
    assert fast.filename.endswith("2_37_x86_64.whl")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("uv.lock", f', hash = "sha256:{A}", size = 12', "", "manylinux_2_28_x86_64.whl has no sha256"),
        ("uv.lock", f'"sha256:{A}", size = 12', '"md5:aa", size = 12', "has no sha256"),
        ("uv.lock", f'"sha256:{A}", size = 12', '"sha256:abc", size = 12', "is not one"),
        (
            "uv.lock",
            f"{SITE}/fast-1.0-cp311-cp311-manylinux_2_28",
            "https://me:pw@x.org/fast-1.0-cp311-cp311-manylinux_2_28",
            "password",
        ),
        ("uv.lock", "version = 1\n", "version = 9\n", "its version is 9"),
        ("uv.lock", 'virtual = "."', 'registry = "x"', "is the project beside it"),
        ("uv.lock", '{ name = "more" }', '{ name = "none" }', "0 packages none"),
        ("uv.lock", ">=3.9", ">=3.12", "not for Python 3.11.2"),
        ("uv.lock", '{ name = "fast", extra', "{ extra", "no sound uv.lock"),
        ("uv.lock", "[[package]]", "[[package", "not TOML"),
        ("pylock.toml", f', hashes = {{ sha256 = "{B}" }}', "", "py3-none-any.whl has no hash"),
        ("pylock.toml", 'lock-version = "1.0"', 'lock-version = "9.0"', "pylock.toml"),
        ("pylock.toml", "cp311-abi3-manylinux2014_x86_64", "cp311-abi3-win_amd64", None),
        ("pylock.toml", 'version = "1.0"\nwheels', 'version = "2.0"\nwheels', "no valid pylock.toml"),
        ("poetry.lock", "", "", "no lock file that we read"),
    ],
)
def test_what_cannot_be_trusted_or_used_is_refused_with_its_place(tmp_path, name, old, new, message):
    text = UV if name == "uv.lock" else PYLOCK
    assert old in text
    if message is None:
        assert len(select(tmp_path, name, text.replace(old, new))) == 1
        return

    with pytest.raises(PackageInvalid, match=message) as caught:
        select(tmp_path, name, text.replace(old, new, 1))

    assert caught.value.remedy
    assert message.startswith("no lock file") or str(caught.value.place).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("wheels", "message"),
    [
        ("", "fast 1.0 has no wheel, only a source distribution"),
        (
            f'wheels = [{{ url = "{SITE}/fast-1.0-cp312-cp312-win32.whl", hash = "sha256:{A}" }}]',
            "wheel for Python 3.11.2 on x86_64",
        ),
    ],
)
def test_sources_and_wheels_of_other_platforms_are_refused(tmp_path, wheels, message):
    head, _, rest = UV.partition("wheels = [\n")
    text = f'{head}sdist = {{ url = "{SITE}/fast-1.0.tar.gz", hash = "sha256:{A}" }}\n{wheels}\n{rest.partition("]")[2].lstrip()}'

    with pytest.raises(PackageInvalid, match=message):
        select(tmp_path, "uv.lock", text)


PACKAGES = """
python: {kind: debian, suite: bookworm, packages: [python3]}
app: {kind: python, interpreter: python, lock: app/pylock.toml, source: ./src}
"""


@pytest.fixture
def load(tmp_path):
    """A set whose one wheel lies beside its lock file."""
    (tmp_path / "app").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.py").write_text("x = 1\n")
    wheel = make_wheel(tmp_path / "app", "tool", {"tool.py": "x = 1\n"})

    def load_set(packages=PACKAGES, locked=None, digest=""):
        locked = LockedDebian(("bookworm",), ("python3",), "amd64", debs()) if locked is None else locked
        (tmp_path / "packages.yaml").write_text(packages)
        (tmp_path / "deployer.lock").write_text(str(Lock({"python": locked} if locked else {})))
        (tmp_path / "app/pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "tool"\nversion = "1.0"\n'
            f'wheels = [{{ path = "{wheel.name}", hashes = {{ sha256 = "{digest or sha256(wheel)}" }} }}]\n'
        )
        return PackageSet.load(tmp_path / "packages.yaml")

    return load_set


def test_the_environment_is_made_of_its_interpreter_its_wheels_and_its_source(load):
    packages = load()
    made = packages.made("app")

    assert made.inputs == (packages.made("python"),)
    assert sorted(source.origin.name for source in made.sources) == ["src", "tool-1.0-py3-none-any.whl"]
    assert made.derivation.environment["version"] == "3.11.2"
    assert [item["name"] for item in json.loads(made.derivation.environment["wheels"])] == ["tool-1.0-py3-none-any.whl"]


@pytest.mark.parametrize(("glibc", "needs_link"), [("2.31-13+deb11u11", True), ("2.33-8", False), ("2.41-12", False)])
def test_the_interpreter_is_started_by_a_link_where_its_loader_takes_no_name(load, glibc, needs_link):
    locked = LockedDebian(("bookworm",), ("python3",), "amd64", debs(glibc=glibc))

    environment = load(locked=locked).made("app").derivation.environment

    # What need not be said isn't: the paths of environments stay what they are.
    assert environment.get("needs_link") == ("1" if needs_link else None)


def test_a_wheel_that_is_not_the_locked_one_is_refused(load):
    with pytest.raises(FileChanged, match="tool-1") as caught:
        load(digest=A).output_path("app")

    assert str(caught.value.place).endswith("pylock.toml:6")


@pytest.mark.parametrize(
    ("packages", "locked", "error", "message"),
    [
        (PACKAGES, (), LockOutdated, "does not pin it"),
        (PACKAGES, LockedDebian(("bookworm",), ("python3",), "amd64", debs()[2:]), PackageInvalid, "has no python3"),
        (PACKAGES.replace("interpreter: python", "interpreter: app"), None, Exception, "circle"),
        (
            "app: {kind: python, interpreter: x, lock: none}\nx: {kind: fetch, file: packages.yaml}",
            None,
            PackageInvalid,
            "kind 'debian'",
        ),
        (PACKAGES.replace("app/pylock", "app/none"), None, PackageInvalid, "there is no"),
    ],
)
def test_an_interpreter_or_lock_that_does_not_do_is_told(load, packages, locked, error, message):
    with pytest.raises(error, match=message) as caught:
        load(packages, locked).output_path("app")

    assert caught.value.remedy or "there is no" in message
