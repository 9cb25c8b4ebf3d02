"""A machine of another architecture than the controller's: as a host, and as a builder for its own kind."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from deployer.build.engines import open_engine
from deployer.cli import ssh_builders
from deployer.lab.bases import WITH_KERNEL
from tests.build.conftest import Workshop
from tests.machines.managed import Managed
from tests.machines.virtual_machine import VirtualMachine

LIBRARIES = "usr/lib/aarch64-linux-gnu"
PROGRAM = "#!/bin/sh\nuname -m >/run/app.said\nexec sleep 100001\n"


@pytest.fixture(scope="module")
def machine(boot: Callable[..., VirtualMachine]) -> VirtualMachine:
    return boot(WITH_KERNEL, "", "arm64")


def test_it_is_a_host_like_others(machine: VirtualMachine, tmp_path: Path) -> None:
    host = Managed.by(machine, tmp_path)
    (tmp_path / "program").write_text(PROGRAM)
    host.fleet.packages = {"program": {"kind": "fetch", "file": "program", "executable": True}}
    service = {"wanted_by": ["multi-user.target"], "check": True, "service": {"Type": "exec", "ExecStart": "${pkgs.program}"}}
    one = {"systemd": {"services": {"app": service}}, "etc": {"app.conf": {"text": "one\n"}}}

    ended = host.deploy(one)
    assert ended["event"] == "host_confirmed", ended
    assert machine.run("cat /run/app.said /etc/app.conf") == "aarch64\none"

    red = {"no": {"kind": "command", "command": ["/bin/false"]}}
    ended = host.deploy({**one, "etc": {"app.conf": {"text": "two\n"}}, "checks": red, "activation": {"check_deadline": 8}})
    assert ended["event"] == "host_rolled_back", ended
    assert machine.run("cat /etc/app.conf; systemctl is-system-running") == "one\nrunning"


def toolchain(machine: VirtualMachine, directory: Path) -> Path:
    """A shell and what tells the architecture, as the machine has them."""
    files = f"usr/bin/dash usr/bin/uname {LIBRARIES}/libc.so.6 usr/lib/ld-linux-aarch64.so.1"
    packed = machine.try_to_run(f"tar --create --dereference --directory=/ {files}").stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(directory)
    (directory / "usr/bin/dash").rename(directory / "usr/bin/sh")
    for name in ("bin", "lib"):
        (directory / name).symlink_to(f"usr/{name}")
    return directory


async def test_it_builds_what_is_of_its_architecture(
    machine: VirtualMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "home/.ssh"
    ssh.mkdir(parents=True)
    ssh.joinpath("config").write_text(machine.ssh_config.read_text())
    ssh.joinpath("known_hosts").write_text(machine.directory.joinpath("known_hosts").read_text())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shop = Workshop(tmp_path / "root", toolchain(machine, tmp_path / "toolchain"))
    builder = open_engine(f"ssh://root@{machine.name}?{urlencode({'jobs': 1})}", reach=ssh_builders.reach)

    low = shop.script("low", "uname -m > $out", system="aarch64-linux")
    top = shop.script("top", 'read word < "$inputs"; echo "$word twice" > $out', low, system="aarch64-linux")
    path = await shop.realise(top, engines=[builder])

    assert path.read_text() == "aarch64 twice\n"
