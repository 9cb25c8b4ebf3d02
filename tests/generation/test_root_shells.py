"""Shells, and programs that are scripts for one, in services with a root tree: refused where that has no such shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView
from deployer.generation import System, make_system, runtime
from deployer.generation.root_shells import RootWithoutShell
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

PYTHON = {"python3.11": "3.11.2", "libc6": "2.36-9"}
SETS = {
    "python": PYTHON,
    "whole": {**PYTHON, "dash": "0.5"},
    "linked": PYTHON,
    "bash": {"bash": "5.2"},
    "node": {"nodejs": "18.20.4"},
}
PACKAGES = """\
python: {kind: debian, suite: bookworm, packages: [python3]}
whole: {kind: debian, suite: bookworm, packages: [python3, dash]}
linked: {kind: debian, suite: bookworm, packages: [python3], links: {usr/bin/sh: bash}}
bash: {kind: debian, suite: bookworm, packages: [bash]}
node: {kind: debian, suite: bookworm, packages: [nodejs]}
app: {kind: python, interpreter: python, lock: pylock.toml}
site: {kind: npm, interpreter: node, lock: package-lock.json}
"""


@pytest.fixture
def make(tmp_path: Path):
    """The system of a service that runs `command` with the package `root` as its root."""

    def system(command: str, root: str, directive: str = "ExecStart", below: str = "", **more: str) -> System:
        locked = {}
        for name, versions in SETS.items():
            debs = (LockedDeb(deb, version, "amd64", f"pool/{deb}.deb", 1, "00" * 32) for deb, version in versions.items())
            asked = {"whole": ("python3", "dash"), "bash": ("bash",), "node": ("nodejs",)}.get(name, ("python3",))
            locked[name] = LockedDebian(("bookworm",), asked, "amd64", tuple(debs))
        (tmp_path / "packages.yaml").write_text(PACKAGES)
        (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
        (tmp_path / "deployer.lock").write_text(str(Lock(locked)))
        (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {"": {}}}')
        service = {"ExecStart": "/usr/bin/python3", **more, directive: command}
        lines = "".join(f"        {name}: '{value}'\n" for name, value in service.items())
        (tmp_path / "web.yaml").write_text(
            f"systemd:\n  services:\n    a:\n      service:\n{lines}  roots: {{a: '${{pkgs.{root}}}{below}'}}\n"
        )
        packages = PackageSet.load(tmp_path / "packages.yaml")
        config = Evaluator(packages=packages).evaluate(HostView("web1"), tmp_path / "web.yaml")
        return make_system(config, packages, runtime("/nix/store"))

    return system


@pytest.mark.parametrize("command", ["${pkgs.app}/bin/python3 -m app", "-/usr/bin/env A=1 ${pkgs.app}/bin/python3 -m app"])
def test_a_root_without_a_shell_does_not_do_for_a_program_that_is_a_script(make, command):
    with pytest.raises(RootWithoutShell, match="ExecStart runs a program of package 'app', which is a script") as caught:
        make(command, "python")

    assert caught.value.remedy == "Add dash to `packages` of package 'python', and run 'deployer lock'."
    assert caught.value.place is not None
    assert caught.value.place.line == 5


@pytest.mark.parametrize("root", ["whole", "linked"])
def test_a_root_with_a_shell_does(make, root):
    assert make("${pkgs.app}/bin/python3 -m app", root).manifest.units


def test_a_program_of_the_root_needs_no_shell(make):
    assert make("/usr/bin/python3 ${pkgs.app}/main.py", "python").manifest.units


def test_a_starter_of_npm_is_a_script_too(make):
    with pytest.raises(RootWithoutShell, match="ExecStart runs a program of package 'site', which is a script for /bin/sh"):
        make("${pkgs.site}/bin/node ${pkgs.site}/app/main.js", "node")

    assert make("${pkgs.site}/bin/node ${pkgs.site}/app/main.js", "whole").manifest.units


@pytest.mark.parametrize(
    ("command", "shell", "deb"),
    [
        ("/bin/sh -c true", "/bin/sh", "dash"),
        ("-+/usr/bin/sh -c true", "/bin/sh", "dash"),
        ("/usr/bin/env A=1 /bin/bash -c true", "/bin/bash", "bash"),
    ],
)
@pytest.mark.parametrize("directive", ["ExecStart", "ExecStartPost"])
def test_a_shell_that_a_root_does_not_have_is_refused(make, command: str, shell: str, deb: str, directive: str):
    with pytest.raises(RootWithoutShell) as caught:
        make(command, "python", directive)

    message = f"unit 'a.service': {directive} runs {shell}, and its root, package 'python', has no {shell}"
    assert caught.value.message == message
    assert caught.value.remedy == f"Add {deb} to `packages` of package 'python', and run 'deployer lock'."


def test_each_shell_is_brought_by_its_own_package(make):
    assert make("/bin/bash -c true", "bash").manifest.units
    with pytest.raises(RootWithoutShell, match="has no /bin/sh"):
        make("/bin/sh -c true", "bash")


@pytest.mark.parametrize(
    "more",
    [
        {"RootDirectoryStartOnly": "yes"},
        {"BindReadOnlyPaths": "/bin/dash:/bin/sh"},
        {"BindPaths": "/usr"},
        {"ExtensionImages": "/var/lib/tools.raw"},
    ],
)
def test_a_shell_that_may_come_from_elsewhere_is_not_asked_for(make, more: dict[str, str]):
    assert make("/bin/sh -c true", "python", "ExecStartPost", **more).manifest.units


def test_what_a_directory_of_a_tree_has_is_not_known(make):
    assert make("/bin/sh -c true", "python", below="/usr/share/machine").manifest.units


def test_only_the_program_itself_of_a_service_has_a_root_where_the_unit_says_so(make):
    with pytest.raises(RootWithoutShell, match="ExecStart runs /bin/sh"):
        make("/bin/sh -c true", "python", RootDirectoryStartOnly="yes")
