"""Programs of root trees in what a host is told to run: started in their tree, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView
from deployer.errors import DeployerError, ManyErrors
from deployer.generation import System, make_system, runtime
from deployer.generation.tree_programs import ProgramNeedsRoot
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

REDIS = LockedDebian(("bookworm",), ("redis",), "amd64", (LockedDeb("redis", "1", "amd64", "pool/redis.deb", 1, "00" * 32),))
TOOLS = LockedDebian(("bookworm",), ("coreutils",), "amd64", REDIS.debs)
PACKAGES = """\
tools: {kind: debian, suite: bookworm, packages: [coreutils]}
redis: {kind: debian, suite: bookworm, packages: [redis]}
link: {kind: fetch, file: packages.yaml}
"""


@pytest.fixture
def make(tmp_path: Path):
    """The system of a configuration, and its packages."""

    def system(text: str) -> tuple[System, PackageSet]:
        (tmp_path / "packages.yaml").write_text(PACKAGES)
        (tmp_path / "deployer.lock").write_text(str(Lock({"redis": REDIS, "tools": TOOLS})))
        (tmp_path / "web.yaml").write_text(text)
        packages = PackageSet.load(tmp_path / "packages.yaml")
        config = Evaluator(packages=packages).evaluate(HostView("web1"), tmp_path / "web.yaml")
        return make_system(config, packages, runtime("/nix/store")), packages

    return system


def test_a_check_starts_a_program_of_a_tree_as_path_does(make):
    made, packages = make("checks: {a: {kind: command, command: ['${pkgs.redis}/usr/bin/redis-cli', ping, '${pkgs.redis}']}}\n")

    program, *arguments = made.manifest.checks[0].command
    starter = next(item for item in made.made.inputs if item.output.name == "redis-redis-cli")
    assert program == f"{starter.output}/bin/redis-cli"
    assert arguments == ["ping", packages.output_path("redis")]
    assert starter.derivation.builder == "builtin:isolated-programs"
    assert starter.derivation.environment["programs"] == "/usr/bin/redis-cli"
    assert starter.derivation.environment["root"] == packages.output_path("redis")
    assert made.manifest.architectures == {"x86_64": "redis"}


def test_what_judges_a_content_is_started_so_too_and_one_program_by_one_starter(make):
    made, _ = make(
        "etc: {redis.conf: {text: x, validate: ['${pkgs.redis}/bin/redis-cli', '{file}']}}\n"
        "checks: {a: {kind: command, command: ['${pkgs.redis}/bin/redis-cli']}, b: {kind: command, command: [/bin/true]}}\n"
    )

    started = [item for item in made.made.inputs if item.derivation.builder == "builtin:isolated-programs"]
    judge = next(entry.validate for entry in made.manifest.etc if entry.path == "redis.conf")
    assert len(started) == 1
    assert judge == (f"{started[0].output}/bin/redis-cli", "{file}")
    assert [check.command[0] for check in made.manifest.checks] == [judge[0], "/bin/true"]


def test_a_program_behind_one_that_only_starts_it_is_started_in_its_tree(make):
    made, _ = make(
        "etc: {redis.conf: {text: x, validate: [/usr/bin/timeout, '5', '${pkgs.redis}/bin/redis-cli', '{file}']}}\n"
        "checks: {a: {kind: command, command: [/usr/bin/env, LANG=C, '${pkgs.redis}/bin/redis-cli', ping]}}\n"
    )

    starter = next(item for item in made.made.inputs if item.output.name == "redis-redis-cli")
    judge = next(entry.validate for entry in made.manifest.etc if entry.path == "redis.conf")
    assert made.manifest.checks[0].command == ("/usr/bin/env", "LANG=C", f"{starter.output}/bin/redis-cli", "ping")
    assert judge == ("/usr/bin/timeout", "5", f"{starter.output}/bin/redis-cli", "{file}")
    assert made.warnings == ()


def test_what_starts_a_program_is_started_in_its_own_tree_and_each_tree_is_entered_once(make):
    entered = "[/usr/bin/env, '${pkgs.tools}/bin/nice', '${pkgs.tools}/bin/timeout', '5', '${pkgs.redis}/bin/redis-cli']"
    made, packages = make(f"checks: {{a: {{kind: command, command: {entered}}}}}\n")

    starters = {item.output.name: f"{item.output}/bin" for item in made.made.inputs}
    assert made.manifest.checks[0].command == (
        "/usr/bin/env",
        f"{starters['tools-nice']}/nice",
        f"{packages.output_path('tools')}/bin/timeout",
        "5",
        f"{starters['redis-redis-cli']}/redis-cli",
    )


def test_other_packages_and_programs_of_the_host_are_run_as_they_are(make):
    whole = "b: {kind: command, command: ['${pkgs.redis}']}"
    made, packages = make(f"checks: {{a: {{kind: command, command: ['${{pkgs.link}}/x']}}, {whole}}}\n")

    commands = [check.command[0] for check in made.manifest.checks]
    assert commands == [f"{packages.output_path('link')}/x", packages.output_path("redis")]


@pytest.mark.parametrize(
    "text",
    [
        "systemd: {services: {a: {service: {ExecStart: '${pkgs.redis}/bin/redis-server'}}}, roots: {a: '${pkgs.redis}'}}\n",
        "systemd: {services: {a: {service: {ExecStart: '${pkgs.redis}/bin/redis-server', RootDirectory: /srv/a}}}}\n",
        "systemd: {services: {a: {service: {ExecStart: '/bin/cat ${pkgs.redis}/etc/passwd'}}}}\n",
        "systemd: {services: {a: {service: {ExecStart: '${pkgs.link}'}}}}\n",
        "systemd: {services: {a: {service: {ExecStart: /bin/true, WorkingDirectory: '${pkgs.redis}/usr'}}}}\n",
        "systemd: {services: {a: {service: {ExecStart: /bin/true, ExecPaths: '${pkgs.redis}/usr/bin/redis-cli'}}}}\n",
        "systemd: {services: {a: {service: {ExecStart: '/usr/bin/env A=${pkgs.redis}/bin/x /bin/true'}}}}\n",
    ],
)
def test_a_unit_may_run_what_it_can_see(make, text):
    assert make(text)[0].manifest.units


RELOAD = "['/bin/true', '@+${pkgs.redis}/x/y z']"
SERVICE = "systemd:\n  services:\n    a:\n      service:\n        {}: /bin/true\n        {}: {}\n"


@pytest.mark.parametrize(
    ("text", "directive", "program", "line", "remedy"),
    [
        (
            SERVICE.format("ExecStartPre", "ExecStart", "${pkgs.redis}/usr/bin/redis-server --port 1"),
            "ExecStart",
            "/usr/bin/redis-server",
            6,
            "systemd.roots: {a: '${pkgs.redis}'}",
        ),
        (SERVICE.format("ExecStart", "ExecStop", '"-${pkgs.redis}/bin/cli"'), "ExecStop", "/bin/cli", 6, "systemd.roots"),
        (SERVICE.format("ExecStart", "ExecReload", RELOAD), "ExecReload", "/x/y", 6, "systemd.roots"),
        (
            SERVICE.format("ExecStart", "ExecStop", "-/usr/bin/env A=1 nice -n 5 ${pkgs.redis}/bin/cli x"),
            "ExecStop",
            "/bin/cli",
            6,
            "systemd.roots",
        ),
        (
            SERVICE.format("ExecStart", "ExecStop", "/bin/true ; @${pkgs.redis}/bin/cli x"),
            "ExecStop",
            "/bin/cli",
            6,
            "systemd.roots",
        ),
        (
            SERVICE.format("ExecStart", "ExecStop", "${pkgs.redis}/bin/nice /bin/true"),
            "ExecStop",
            "/bin/nice",
            6,
            "systemd.roots",
        ),
        (
            "systemd:\n  user:\n    services:\n      a: {service: {ExecStart: '${pkgs.redis}/bin/x'}}\n",
            "ExecStart",
            "/bin/x",
            4,
            "run /var/lib/deployer/profile/current/sw/bin/x",
        ),
        (
            'systemd: {units: {a.socket: {text: "[Socket]\\nExecStartPre=\\\\\\n  ${pkgs.redis}/bin/x\\n"}}}\n',
            "ExecStartPre",
            "/bin/x",
            1,
            "`packages: [redis]`",
        ),
        (
            "jobs: {a: {command: ['${pkgs.redis}/bin/x'], schedule: daily}}\n",
            "ExecStart",
            "/bin/x",
            1,
            "systemd.roots: {a: '${pkgs.redis}'}",
        ),
    ],
)
def test_a_unit_that_does_not_see_the_libraries_of_its_program_is_refused(make, text, directive, program, line, remedy):
    with pytest.raises(ProgramNeedsRoot, match="whose loader and libraries are in") as caught:
        make(text)

    assert (caught.value.directive, caught.value.program, caught.value.package) == (directive, program, "redis")
    assert caught.value.place is not None
    assert (Path(caught.value.place.file).name, caught.value.place.line) == ("web.yaml", line)
    assert remedy in caught.value.remedy


def test_all_such_units_are_told_at_once(make):
    one = "{service: {ExecStart: '${pkgs.redis}/bin/x'}}"

    with pytest.raises(ManyErrors) as caught:
        make(f"systemd: {{services: {{a: {one}, b: {one}}}}}\n")

    assert len(caught.value.errors) == 2
    assert all(isinstance(error, DeployerError) for error in caught.value.errors)
