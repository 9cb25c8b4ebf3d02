"""Packages of other releases on hosts that lack their libraries: services with a root of their own, programs on PATH, packs."""

from __future__ import annotations

import platform
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import deployer
from deployer.build import BuildSettings, realise
from deployer.environments import compose
from deployer.environments.packing import Pack, write_pack
from deployer.lab import LabHost
from deployer.packages import PackageSet
from deployer.packages.interpreter import interpreter
from deployer.packages.launcher_tree import launcher_tree
from deployer.store import Store
from tests.lab.built_packages import build_packages
from tests.lab.fleet import Fleet
from tests.lab.mapped import mapped_outside
from tests.lab.standing import shell

PACKAGES: dict[str, Any] = {
    "redis-old": {"kind": "debian", "suite": "bookworm", "packages": ["redis-server", "redis-tools"], "programs": ["redis-cli"]},
    "redis-new": {"kind": "debian", "suite": "trixie", "packages": ["redis-server"]},
    "compiler": {"kind": "debian", "suite": "bookworm", "packages": ["tcc", "libc6-dev", "dash"]},
}
PORTS = {"redis-old": 6407, "redis-new": 6408}


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, PackageSet, Path]:
    """A store that has the packages, the set of them, and where their file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("isolation"), Store(store_with_pythons)
    packages = build_packages(machines, store, directory, PACKAGES, on_path=["redis-old"])
    return store, packages, directory


def service(name: str) -> dict[str, Any]:
    """One version of the server, with its data, as a user of its own."""
    command = f"/usr/bin/redis-server /etc/{name}/redis.conf"
    directives = {"ExecStart": command, "Type": "notify", "User": "redis", "StateDirectory": name, "Restart": "on-failure"}
    return {"wanted_by": ["multi-user.target"], "check": True, "service": directives}


def configuration(greeting: str) -> dict[str, Any]:
    return {
        "packages": ["redis-old"],
        "users": {"redis": {}},
        "etc": {
            f"{name}/redis.conf": {
                "text": f"port {port}\ndir /var/lib/{name}\nsupervised systemd\nappendonly yes\n# {greeting}\n"
            }
            for name, port in PORTS.items()
        },
        "systemd": {
            "services": {name: service(name) for name in PORTS},
            "roots": {name: f"${{pkgs.{name}}}" for name in PORTS},
        },
        "checks": {
            **{name: {"kind": "tcp", "port": port} for name, port in PORTS.items()},
            "answers": {"kind": "command", "command": ["${pkgs.redis-old}/usr/bin/redis-cli", "-e", "-p", "6407", "ping"]},
        },
    }


def test_two_versions_of_a_service_run_side_by_side_on_hosts_of_three_releases(
    machines, fresh_hosts, workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, packages, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bullseye", "bookworm", "trixie")]
    fleet = Fleet(tmp_path, machines.lab, *hosts)
    fleet.packages = PACKAGES
    (tmp_path / "deployer.lock").write_bytes((directory / "deployer.lock").read_bytes())
    roots = {name: packages.output_path(name) for name in PORTS}

    def on(host: LabHost, command: str) -> str:
        return shell(machines.lab, host, command)

    fleet.configure(configuration("one"))
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    for host in hosts:
        cli = "setpriv --reuid=4242 --regid=4242 --clear-groups sh -lc 'redis-cli -p {} {}'"
        versions = {name: on(host, cli.format(port, "info server")) for name, port in PORTS.items()}
        assert "redis_version:7.0." in versions["redis-old"], versions
        assert "redis_version:8." in versions["redis-new"], versions
        assert on(host, cli.format(PORTS["redis-new"], "set greeting kept")) == "OK"
        assert mapped_outside(machines.lab, host, *roots.values()) != []
        for name, root in roots.items():
            assert mapped_outside(machines.lab, host, root, service=name) == [], (host.name, name)
        assert on(host, "ls /usr/bin/redis-*").count("No such file") == 1

    fleet.configure(configuration("two"))
    assert fleet.deploy().exit_code == 0
    assert fleet.run("rollback").exit_code == 0
    for host in hosts:
        assert on(host, f"sh -lc 'redis-cli -p {PORTS['redis-new']} get greeting'") == "kept"
    # A root that was written to would show it: everything in a store has the same date.
    changed = fleet.run("exec", "--", "find", *roots.values(), "-newermt", "1970-01-02")
    assert (changed.exit_code, changed.stdout) == (0, ""), changed.text


@pytest.fixture(scope="module")
def pack(machines, workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of the compiler."""
    store, packages, _ = workshop
    machine, file = platform.machine(), tmp_path_factory.mktemp("pack") / "compiler.run"
    environment = compose(packages, ["compiler"], machine=machine, store_dir=store.store_dir)
    python, launcher = (made.output for made in (interpreter(packages, machine, store.store_dir), launcher_tree(store.store_dir)))
    machines.do(realise(store, [launcher_tree(store.store_dir).path], settings=BuildSettings()))
    contents = store.closure([made.output for made in environment.needed] + [python, launcher])
    spec = environment.spec(store="", store_directory=store.store_dir, keep=())
    write_pack(store, Pack(spec, python, launcher, "", contents=contents), file)
    return file


@pytest.mark.parametrize("release", ["bullseye", "bookworm", "trixie"])
def test_a_pack_of_a_compiler_builds_for_anybody_where_there_is_none(machines, fresh_hosts, pack: Path, release: str):
    (host,) = fresh_hosts(1, release=release)
    directory = "/srv/anybody"
    shell(machines.lab, host, f"mkdir {directory} && chown 4242:4242 {directory}")
    shutil.copy(pack, host.disk / f"root{directory}/run")

    anybody = f"cd {directory} && setpriv --reuid=4242 --regid=4242 --clear-groups env -i HOME={directory} ./run "
    program = 'int printf(const char *, ...); int main(void) { printf("built\\n"); return 3; }\n'
    line = f"printf '%s' {shlex.quote(program)} >p.c && tcc -o p p.c && ./p; echo $?"
    built = shell(machines.lab, host, anybody + f"sh -c {shlex.quote(line)}")
    there = shell(machines.lab, host, f"command -v gcc cc tcc; ls -ln {directory}/p | cut -d' ' -f3")

    assert built.splitlines()[-2:] == ["built", "3"], built
    assert there == "4242"


def test_where_python_is_too_old_deployer_says_so_and_names_packs(machines, fresh_hosts):
    (host,) = fresh_hosts(1, release="bullseye")
    shutil.copytree(Path(deployer.__file__).parent, host.disk / "root/srv/checkout/deployer")

    told = shell(
        machines.lab, host, "cd /srv/checkout; setpriv --reuid=4242 env -i python3 -m deployer shell compiler 2>&1; echo $?"
    )

    first, then, status = told.splitlines()
    assert first == "error: deployer needs Python 3.11 or newer, and this is 3.9.2"
    assert "deployer pack" in then
    assert status == "2"
