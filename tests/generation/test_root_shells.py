"""Programs of Python environments in services with a root tree: refused where that has no /bin/sh to read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView
from deployer.generation import System, make_system, runtime
from deployer.generation.root_shells import RootWithoutShell
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

PYTHON = {"python3.11": "3.11.2", "libc6": "2.36-9"}
SETS = {"python": PYTHON, "whole": {**PYTHON, "dash": "0.5"}, "linked": PYTHON}
PACKAGES = """\
python: {kind: debian, suite: bookworm, packages: [python3]}
whole: {kind: debian, suite: bookworm, packages: [python3, dash]}
linked: {kind: debian, suite: bookworm, packages: [python3], links: {usr/bin/sh: bash}}
app: {kind: python, interpreter: python, lock: pylock.toml}
"""


@pytest.fixture
def make(tmp_path: Path):
    """The system of a service that runs `command` with the package `root` as its root."""

    def system(command: str, root: str) -> System:
        locked = {}
        for name, versions in SETS.items():
            debs = (LockedDeb(deb, version, "amd64", f"pool/{deb}.deb", 1, "00" * 32) for deb, version in versions.items())
            asked = ("python3", "dash") if name == "whole" else ("python3",)
            locked[name] = LockedDebian(("bookworm",), asked, "amd64", tuple(debs))
        (tmp_path / "packages.yaml").write_text(PACKAGES)
        (tmp_path / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
        (tmp_path / "deployer.lock").write_text(str(Lock(locked)))
        (tmp_path / "web.yaml").write_text(
            f"systemd:\n  services:\n    a: {{service: {{ExecStart: '{command}'}}}}\n  roots: {{a: '${{pkgs.{root}}}'}}\n"
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
    assert caught.value.place.line == 3


@pytest.mark.parametrize("root", ["whole", "linked"])
def test_a_root_with_a_shell_does(make, root):
    assert make("${pkgs.app}/bin/python3 -m app", root).manifest.units


def test_a_program_of_the_root_needs_no_shell(make):
    assert make("/usr/bin/python3 ${pkgs.app}/main.py", "python").manifest.units
