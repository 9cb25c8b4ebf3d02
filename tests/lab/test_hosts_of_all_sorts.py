"""Hosts as they come: other releases, without Python, or with half of one."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from deployer.lab import crash, start
from deployer.lab.bases import RELEASES, VARIANTS
from tests.lab.fleet import Fleet
from tests.lab.standing import shell, standing

RED = {
    "etc": {"greeting": {"text": "bye\n"}},
    "checks": {"red": {"kind": "command", "command": ["/bin/false"]}},
    "activation": {"check_deadline": 2},
}
GREETING = {"etc": {"greeting": {"text": "hello\n"}}}
OLDER = f"/nix/store/{'0' * 32}-host-python"
SORTS = [("trixie", "full"), ("bookworm", "no-python")]
if os.environ.get("DEPLOYER_ALL_SORTS"):
    SORTS = [(release, base) for release in RELEASES for base in VARIANTS if base in ("full", "minimal-python", "no-python")]


@pytest.mark.parametrize(("release", "base"), SORTS)
def test_a_host_is_planned_deployed_rolled_back_and_left_as_it_was(
    machines, fresh_hosts, store_with_pythons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, base: str
):
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store_with_pythons))
    (host,) = fresh_hosts(1, release=release, base=base)
    fleet = Fleet(tmp_path, machines.lab, host)

    def on_host(command: str) -> str:
        return shell(machines.lab, host, command)

    before = standing(machines.lab, host)
    fleet.configure(GREETING)
    planned = fleet.run("plan")
    assert planned.exit_code == 0, planned.text
    assert standing(machines.lab, host) == before

    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    assert on_host("cat /etc/greeting") == "hello"
    own = on_host("readlink /nix/var/deployer/gcroots/interpreter")
    assert own.endswith("-host-python") if base != "full" else own == ""

    if own:  # as one that was brought before other pins
        on_host(f"cp -a {own} {OLDER} && ln -sfn {OLDER} /nix/var/deployer/gcroots/interpreter")

    fleet.configure(RED)
    assert fleet.deploy().exit_code == 1
    assert on_host("cat /etc/greeting") == "hello"
    assert on_host("readlink /nix/var/deployer/gcroots/interpreter") == own
    assert fleet.run("status", "--check").exit_code == 0

    left = fleet.run("uninstall", "--yes")
    assert left.exit_code == 0, left.text
    assert standing(machines.lab, host) == before


def test_a_host_brought_a_python_goes_back_by_itself_after_a_power_cut(
    machines, fresh_hosts, store_with_pythons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store_with_pythons))
    (host,) = fresh_hosts(1, base="no-python")
    fleet = Fleet(tmp_path, machines.lab, host)
    fleet.configure(GREETING)
    assert fleet.deploy().exit_code == 0
    fleet.configure({**GREETING, **RED, "activation": {"check_deadline": 60}})

    with fleet.start("deploy", "--yes") as running:
        running.until("host_phase_reached", state="checking")
        machines.do(crash(host))
        running.kill()
    machines.do(start(host))

    assert shell(machines.lab, host, "cat /etc/greeting") == "hello"
    assert " settled 1 " in shell(machines.lab, host, "cat /var/lib/deployer/state")


def test_a_host_without_python_is_told_so_before_anything_is_built_where_none_can_be_sent(machines, fresh_hosts, tmp_path: Path):
    (host,) = fresh_hosts(1, base="no-python")
    fleet = Fleet(tmp_path, machines.lab, host)
    fleet.configure(GREETING)

    refused = fleet.run("deploy", "--yes")

    assert refused.exit_code == 1
    assert "there is no python3 on it, and the one to send could not be made here" in refused.text
    assert "Install python3" in refused.text
    assert not list((tmp_path / "data").rglob("*-system"))
    assert shell(machines.lab, host, "ls -d /var/lib/deployer* /nix") == "\n".join(
        f"ls: cannot access '{path}': No such file or directory" for path in ("/var/lib/deployer*", "/nix")
    )


def test_a_host_with_a_nix_keeps_what_either_keeps(machines, fresh_hosts, tmp_path: Path):
    (host,) = fresh_hosts(1, base="nix")
    fleet = Fleet(tmp_path, machines.lab, host)

    def on_host(command: str) -> str:
        return shell(machines.lab, host, f"export NIX_REMOTE=local; {command}")

    on_host("mkdir -p /etc/nix && echo 'build-users-group =' >/etc/nix/nix.conf")
    theirs = on_host("echo theirs >/root/file && nix-store --add /root/file")
    rooted = on_host(f"nix-store --realise {theirs} --add-root /root/result --indirect && readlink /root/result").splitlines()[-1]
    assert rooted == theirs
    fleet.configure(GREETING)
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    ours = on_host("readlink /var/lib/deployer/good")

    assert "freed" in on_host("nix-store --gc 2>&1")
    assert on_host(f"ls -d {theirs} {ours}").split() == sorted([theirs, ours])
    assert on_host("cat /etc/greeting") == "hello"
    assert on_host(f"nix-store -q --hash {ours}").startswith("sha256:")
    assert "error" not in on_host("nix-store --verify --check-contents 2>&1")
    fleet.configure({"etc": {"greeting": {"text": "bye\n"}}})
    assert fleet.deploy().exit_code == 0
    assert fleet.run("generations", "collect", "--keep", "2").exit_code == 0
    on_host("nix-store --gc")
    assert on_host("cat /etc/greeting") == "bye"
    assert fleet.run("rollback").exit_code == 0
    assert on_host("cat /etc/greeting") == "hello"

    assert fleet.run("uninstall", "--yes").exit_code == 0
    on_host("nix-store --gc")
    assert on_host(f"cat {theirs}; ls -d {ours} /nix/var/deployer /nix/var/nix/gcroots/deployer 2>/dev/null") == "theirs"


def test_a_host_with_a_read_only_usr_and_256_megabytes_takes_a_closure_of_100(machines, fresh_host, tmp_path: Path):
    fleet = Fleet(tmp_path, machines.lab, fresh_host)
    # Address space, which is more than memory: what fits into it fits into a machine of that size.
    limited = "mount --bind /usr /usr && mount -o remount,ro,bind /usr && echo 'root hard as 262144' >/etc/security/limits.conf"
    assert shell(machines.lab, fresh_host, f"{limited} && echo so") == "so"
    assert (
        shell(machines.lab, fresh_host, "ulimit -v; touch /usr/x")
        == "262144\ntouch: cannot touch '/usr/x': Read-only file system"
    )
    (tmp_path / "big").write_bytes(random.Random(1).randbytes(100 << 20))
    fleet.configure({"etc": {"big": {"source": "./big"}}})

    deployed = fleet.deploy()

    assert deployed.exit_code == 0, deployed.text
    digest = hashlib.sha256((tmp_path / "big").read_bytes()).hexdigest()
    assert shell(machines.lab, fresh_host, "sha256sum </etc/big").split()[0] == digest


def test_a_host_whose_store_is_nearly_full_stays_as_it_is_and_says_what_is_missing(machines, fresh_host, tmp_path: Path):
    fleet = Fleet(tmp_path, machines.lab, fresh_host)
    fleet.configure(GREETING)
    assert fleet.deploy().exit_code == 0
    small = "mkdir /root/more && cp -a /nix/store /root/more && mount -t tmpfs -o size=12M,mode=755 tmpfs /nix/store"
    assert shell(machines.lab, fresh_host, f"{small} && cp -a /root/more/store/. /nix/store/ && echo so") == "so"
    (tmp_path / "big").write_bytes(random.Random(1).randbytes(20 << 20))
    fleet.configure({"etc": {"greeting": {"text": "bye\n"}, "big": {"source": "./big"}}})

    refused = fleet.run("deploy", "--yes")

    assert refused.exit_code == 1
    assert "no space" in refused.text.lower() or "full" in refused.text.lower()
    assert shell(machines.lab, fresh_host, "cat /etc/greeting") == "hello"
    assert fleet.run("status", "--check").exit_code == 0
    shell(machines.lab, fresh_host, "mount -o remount,size=100M /nix/store")
    assert fleet.deploy().exit_code == 0
    assert shell(machines.lab, fresh_host, "cat /etc/greeting") == "bye"
