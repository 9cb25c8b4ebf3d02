"""A compiler for ordinary users of hosts that have none: by a deployer in a directory of theirs, without root or a network."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from deployer.lab import Lab, LabHost
from deployer.process import run
from tests.lab.fleet import TIMEOUT
from tests.lab.standing import Standing, shell, standing

ROOT = Path(__file__).resolve().parents[2]
PACKAGES: dict[str, Any] = {
    "compiler": {"kind": "debian", "suite": "trixie", "packages": ["gcc", "libc6-dev", "dash", "coreutils"]},
    "greeting": {
        "kind": "build",
        "toolchain": "compiler",
        "source": "./source",
        "script": "mkdir -p $out/bin; gcc -O2 -o $out/bin/greet p.c",
    },
    "cache": {"kind": "debian", "suite": "bookworm", "packages": ["redis-server", "redis-tools"]},
}
SHELL = {"packages": ["compiler", "greeting"], "pure": True, "environment": {"CC": "gcc"}, "hooks": {"enter": "flags=-O2"}}
SERVICE = {"ExecStart": "/usr/bin/redis-server --port 6409 --dir /var/lib/cache", "DynamicUser": True, "StateDirectory": "cache"}
CONFIGURATION: dict[str, Any] = {
    "systemd": {
        "services": {"cache": {"wanted_by": ["multi-user.target"], "check": True, "service": SERVICE}},
        "roots": {"cache": "${pkgs.cache}"},
    },
    "checks": {"cache": {"kind": "tcp", "port": 6409}},
}
PROGRAM = '#include <stdio.h>\nint main(void) { puts("built"); return 3; }\n'
COMPILERS = "ls /usr/bin /usr/local/bin | grep -E '^(.*gcc.*|cc|c[0-9]+|tcc|clang.*|as|ld)$'"
STRAY = "find / /dev/shm /run /tmp -xdev -user {user} -not -path '/home/{user}*' -not -path '/proc/*'"


@pytest.fixture(scope="module")
def luggage(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person brings to a machine without a network: deployer's wheels, and a project with its vendor directory."""
    directory = tmp_path_factory.mktemp("luggage")
    (directory / "project/source").mkdir(parents=True)
    for name, text in {
        "packages.yaml": yaml.safe_dump(PACKAGES),
        "shell.yaml": yaml.safe_dump(SHELL),
        "p.c": PROGRAM,
        "source/p.c": PROGRAM,
    }.items():
        (directory / "project" / name).write_text(text)
    machines.do(pack_up(directory, store_with_pythons))
    return directory


async def pack_up(directory: Path, store_root: Path) -> None:
    """Fill it, where there is a network: as docs/how-to/build-without-a-network.md has it."""
    build = ("-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--wheel-dir", directory / "wheels")
    download = ("-m", "pip", "download", "-q", "--only-binary", ":all:", "--dest", directory / "wheels")
    locked = ("--no-deps", "--requirement", ROOT / "requirements.lock")
    options = ("--packages", "packages.yaml", "--store-root", store_root)
    for commands in (
        [(*build, ROOT), ("-m", "deployer", "lock")],
        [
            (*download, *locked),
            (*download, *locked, "--python-version", "3.13"),
            (*download, "--no-deps", "pip"),
            ("-m", "deployer", "package", "vendor", *options),
        ],
    ):
        async with asyncio.TaskGroup() as group:
            for command in commands:
                group.create_task(run([sys.executable, *command], directory=directory / "project", timeout=TIMEOUT))


@dataclass(frozen=True)
class Person:
    """An ordinary user of a host, with the luggage in their home."""

    lab: Lab
    host: LabHost
    name: str = "ann"

    @property
    def home(self) -> str:
        """Theirs."""
        return f"/home/{self.name}"

    def arrive(self, luggage: Path, files: Mapping[str, str] = MappingProxyType({})) -> None:
        """Get an account, and bring the luggage, and more files, by their names below the home."""
        assert shell(self.lab, self.host, f"useradd --create-home {self.name}") == ""
        home = self.host.disk / f"root{self.home}"
        shutil.copytree(luggage, home / "luggage")
        for name, text in files.items():
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_text(text)
        assert shell(self.lab, self.host, f"chown -R {self.name}: {self.home}") == ""

    def compilers(self) -> str:
        """Those that the host itself has."""
        return shell(self.lab, self.host, COMPILERS)

    def looked_at(self) -> Standing:
        """How the host stands, but for this home."""
        return standing(self.lab, self.host)

    def run(self, *command: str, variables: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A command in the project, with no variables but these, and without any right."""
        rights = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        become = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", *rights, "env", "-i", *variables]
        line = f"cd {self.home}/luggage/project && exec {shlex.join([*become, *command])}"
        return subprocess.run(
            ["ssh", "-F", str(self.lab.ssh_config), self.host.name, line],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT,
        )

    def deployer(self, *arguments: str) -> list[str]:
        """The lines that a command prints."""
        done = self.run(f"{self.home}/venv/bin/deployer", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def install(self) -> None:
        """Have deployer, from its wheels. A plain Debian has a Python, and neither pip nor what `venv` would make one from."""
        line = (
            "python3 -m venv --without-pip ~/venv && export PYTHONPATH=$(echo ~/luggage/wheels/pip-*.whl) && "
            "~/venv/bin/python -m pip install -q --no-index --find-links ~/luggage/wheels deployer"
        )
        done = self.run("sh", "-c", line, variables=[f"HOME={self.home}", "PATH=/usr/bin:/bin"])
        assert done.returncode == 0, done.stderr


def compile_in_all_ways(person: Person) -> None:
    """By `shell`, `run` and `develop`; files come from the vendor directory that an option names, then a file of the user's."""
    line = "gcc -O2 -o {0} p.c && ./{0}; echo $?; id -u"
    first = person.deployer("shell", "compiler", "--pure", "--vendor", "vendor", "-c", line.format("p"))
    again = person.deployer("shell", "compiler", "--pure", "-c", line.format("p"))
    assert first == again == ["built", "3", "1000"]

    # From now on without the option.
    settings = f"{person.home}/.config/deployer"
    written = person.run("sh", "-c", f"mkdir -p {settings} && echo {person.home}/luggage/project/vendor >{settings}/vendor")
    assert written.returncode == 0, written.stderr
    assert person.deployer("run", "cache", "-p", "redis-server", "--", "--version")[0].startswith("Redis server v=7.0.")
    assert person.deployer("develop", "-c", '$CC $flags -o q p.c && ./q; greet; echo "$? $CC"') == ["built", "built", "3 gcc"]
    assert person.deployer("run", "compiler", "-p", "gcc", "--", "-O2", "-o", "r", "p.c") == []
    assert person.run("./r").returncode == 3


def test_anybody_has_a_compiler_in_an_empty_environment_on_hosts_that_have_none(machines, fresh_hosts, luggage: Path):
    people = [Person(machines.lab, fresh_hosts(1, release=release)[0]) for release in ("bookworm", "trixie")]

    with ThreadPoolExecutor() as at_once:
        assert [*at_once.map(Person.compilers, people)] == ["", ""]
        (*_,) = at_once.map(lambda person: person.arrive(luggage), people)
        before = [*at_once.map(Person.looked_at, people)]
        (*_,) = at_once.map(Person.install, people)
        (*_,) = at_once.map(compile_in_all_ways, people)
        after = [*at_once.map(Person.looked_at, people)]

    for person, was, came in zip(people, before, after, strict=True):
        assert came == was
        assert person.compilers() == ""
        assert shell(person.lab, person.host, STRAY.format(user=person.name)) == ""


def test_anybody_deploys_from_a_vendor_directory_where_no_mirror_is_known(machines, fresh_hosts, luggage: Path):
    controller, target = fresh_hosts(2)
    person = Person(machines.lab, controller)
    shutil.rmtree(controller.disk / "root/etc/apt")
    hosts = {target.name: {"connection": {"address": target.address, "user": "root"}, "configuration": "host.yaml"}}
    person.arrive(
        luggage,
        {
            ".ssh/id_ed25519": machines.lab.identity_file.read_text(),
            ".ssh/known_hosts": machines.lab.known_hosts.read_text(),
            "luggage/project/inventory.yaml": yaml.safe_dump({"hosts": hosts, "packages": "packages.yaml"}),
            "luggage/project/host.yaml": yaml.safe_dump(CONFIGURATION),
        },
    )
    person.install()

    refused = person.run(f"{person.home}/venv/bin/deployer", "build")
    assert (refused.returncode, "no mirror of Debian packages is known" in refused.stderr) == (2, True), refused.stderr
    deployed = person.run(f"{person.home}/venv/bin/deployer", "deploy", "--yes", "--vendor", "vendor")

    assert deployed.returncode == 0, deployed.stderr
    assert shell(machines.lab, target, "systemctl is-active cache") == "active"
    assert shell(machines.lab, target, "curl -s --max-time 5 telnet://127.0.0.1:6409 <<<PING") == "+PONG"
    assert shell(machines.lab, controller, STRAY.format(user=person.name)) == ""
