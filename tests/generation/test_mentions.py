"""Programs of root trees that a host is told of in words that it may run: a warning, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView
from deployer.generation import make_system, runtime
from deployer.generation.tree_programs import ON_PATH
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

PACKAGES = """\
redis: {kind: debian, suite: bookworm, packages: [redis-tools], programs: [redis-cli]}
python: {kind: debian, suite: bookworm, packages: [python3=3.11]}
link: {kind: fetch, file: packages.yaml}
"""
CLI = "${pkgs.redis}/usr/bin/redis-cli"
LOST = "if /bin/sh runs /usr/bin/redis-cli of package 'redis', that gets the host's libraries, or none"


@pytest.fixture
def warnings(tmp_path: Path):
    """Of a configuration, without the directory's name."""

    def warned(text: str) -> list[str]:
        deb = LockedDeb("dash", "1", "amd64", "pool/dash.deb", 1, "00" * 32)
        asked = {"redis": ("redis-tools",), "python": ("python3=3.11",)}
        locked = {name: LockedDebian(("bookworm",), packages, "amd64", (deb,)) for name, packages in asked.items()}
        (tmp_path / "packages.yaml").write_text(PACKAGES)
        (tmp_path / "deployer.lock").write_text(str(Lock(locked)))
        (tmp_path / "web.yaml").write_text(text)
        packages = PackageSet.load(tmp_path / "packages.yaml")
        config = Evaluator(packages=packages).evaluate(HostView("web1"), tmp_path / "web.yaml")
        system = make_system(config, packages, runtime("/nix/store"))
        return [warning.replace(f"{tmp_path}/", "") for warning in system.warnings]

    return warned


def service(command: str, **more: str) -> str:
    lines = [f"        {name}: {text}\n" for name, text in {"ExecStart": f"'{command}'", **more}.items()]
    return "systemd:\n  services:\n    a:\n      service:\n" + "".join(lines)


def test_a_shell_of_a_check_that_is_told_of_a_program_is_warned_of(warnings):
    text = f"checks:\n  a:\n    kind: command\n    command: [/bin/sh, -c, 'test \"$({CLI} ping)\" = PONG && {CLI} info']\n"

    (warning,) = warnings(text)
    instead = f"Begin the command with {CLI}, or put redis in `packages` and write {ON_PATH}/redis-cli"
    assert warning == f"web.yaml:4:14: check 'a': {LOST}. {instead}"


def test_what_judges_a_content_is_to_be_the_program_itself(warnings):
    (warning,) = warnings(f"etc:\n  a:\n    text: x\n    validate: [/bin/sh, -c, '{CLI} <$1', x, '{{file}}']\n")

    assert warning == f"web.yaml:4:15: etc entry 'a': {LOST}. Begin the command with {CLI}"


@pytest.mark.parametrize("command", [f'/bin/sh -c "exec {CLI}"', f'-/usr/bin/env A=1 /bin/sh -ec "$0" {CLI}'])
def test_a_service_is_to_have_the_tree_as_its_root(warnings, command):
    (warning,) = warnings(service(command))

    instead = f"`systemd.roots: {{a: '${{pkgs.redis}}'}}`, or put redis in `packages` and write {ON_PATH}/redis-cli"
    assert warning == f"web.yaml:5:20: unit 'a.service': {LOST}. Give the service its tree, {instead}"


def test_another_unit_is_to_run_what_is_on_path(warnings):
    (warning,) = warnings(
        "systemd: {units: {a.socket: {text: \"[Socket]\\nExecStopPre=/bin/sh -c '${pkgs.redis}/bin/Rx'\\n\"}}}\n"
    )

    assert warning.endswith(f"or none. Put redis in `packages` and write {ON_PATH}/Rx")


def test_where_a_module_makes_the_command_the_line_that_names_the_package_is_told(warnings):
    (warning,) = warnings("jobs:\n  data:\n    command: [/bin/sh, -c, 'exec ${pkgs.redis}/bin/Rx']\n")

    assert warning.startswith("web.yaml:3:28: unit 'data.service': if /bin/sh runs /bin/Rx of package 'redis'")


@pytest.mark.parametrize("command", ["/usr/bin/env A=1 redis-cli", "-redis-cli ping", "/usr/bin/nice redis-cli"])
def test_a_program_by_its_name_is_not_the_packages(warnings, command):
    (warning,) = warnings("packages: [redis]\n" + service(command))

    instead = f"For that of `packages` write {ON_PATH}/redis-cli"
    assert warning == f"web.yaml:6:20: unit 'a.service': 'redis-cli' is looked for among the host's own programs only. {instead}"


@pytest.mark.parametrize(
    "text",
    [
        service(f'/bin/sh -c "exec {CLI}"') + "  roots: {a: '${pkgs.redis}'}\n",
        service('/bin/sh -c "cat ${pkgs.redis}/etc/passwd; echo ${pkgs.redis}/usr/bin"'),
        service("/bin/sh -c ${pkgs.link}/bin/x"),
        f"checks: {{a: {{kind: command, command: ['{CLI}', '{CLI}', '${{pkgs.redis}}/bin/sh']}}}}\n",
        f"checks: {{a: {{kind: command, command: [/usr/bin/env, '{CLI}', '{CLI}']}}}}\n",
        "packages: [redis]\nchecks: {a: {kind: command, command: ['${pkgs.python}/usr/bin/env', redis-cli]}}\n",
        "packages: [redis]\n" + service("/usr/bin/env redis-server"),
        "packages: [redis]\n" + service("/usr/bin/env PATH=/opt/bin redis-cli"),
        "packages: [redis]\n" + service("/usr/bin/env redis-cli", Environment="PATH=/opt/bin"),
        "packages: [redis]\n" + service("/usr/bin/env redis-cli", ExecSearchPath="/opt/bin"),
        "packages: [link]\n" + service("/usr/bin/env redis-cli"),
        "packages: [redis]\nsystemd: {user: {services: {a: {service: {ExecStart: /usr/bin/env redis-cli}}}}}\n",
    ],
)
def test_what_can_go_no_wrong_is_no_warning(warnings, text):
    assert warnings(text) == []


def test_names_are_those_of_debian_packages_where_none_are_said(warnings):
    (warning,) = warnings("packages: [python]\n" + service("/usr/bin/env python3 -m http.server"))

    assert "'python3' is looked for" in warning
