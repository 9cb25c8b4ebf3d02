"""Hosts whose kernel has control groups of one version alone, or of both: deployments, checks of memory, units that hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deployer.lab.bases import WITH_KERNEL
from tests.machines.managed import TIMING, Managed
from tests.machines.virtual_machine import VirtualMachine

HIERARCHIES = {
    "version 1": ("systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1", "tmpfs", ""),
    "both": ("systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0", "tmpfs", "cgroup2fs"),
    "version 2": ("systemd.unified_cgroup_hierarchy=1", "cgroup2fs", ""),
}
"""What the kernel is told; what is mounted at /sys/fs/cgroup then, and at `unified` in it."""
GREEDY = "/usr/bin/python3 -c \"import time; x = b'x' * (90 << 20); time.sleep(100000)\""
SHORT = {**TIMING, "check_deadline": 8}
STUCK = "/bin/sh -c 'trap \"\" TERM; setsid sleep 71702 & sleep 71702'"
FORKS = ["/bin/sh", "-c", "setsid sleep 71701 & exit 0"]


def services(**commands: str) -> dict[str, Any]:
    """Units by name, each with what it runs."""
    about = {
        name: {"wanted_by": ["multi-user.target"], "check": True, "service": {"Type": "exec", "ExecStart": command}}
        for name, command in commands.items()
    }
    return {"systemd": {"services": about}}


@pytest.fixture(params=list(HIERARCHIES))
def host(request: pytest.FixtureRequest, boot: Callable[..., VirtualMachine], tmp_path: Any) -> Managed:
    options, top, unified = HIERARCHIES[request.param]
    machine = boot(WITH_KERNEL, options)
    kinds = machine.run("stat -f -c %T /sys/fs/cgroup; stat -f -c %T /sys/fs/cgroup/unified 2>/dev/null; true").split()
    assert kinds == [top, *([unified] if unified else [])]
    return Managed.by(machine, tmp_path)


def test_deployments_checks_of_memory_and_units_that_hang(host: Managed) -> None:
    def running() -> str:
        return host.machine.run("systemctl is-system-running; ps -e -o args= | grep -c '[s]leep 7170' || true")

    one = services(web="/bin/sleep 100001")
    ended = host.deploy({**one, "checks": {"forks": {"kind": "command", "command": FORKS}}})
    assert ended["event"] == "host_confirmed", ended
    assert running() == "running\n0"

    greedy = services(web="/bin/sleep 100002", greedy=GREEDY)
    frugal = {"kind": "unit", "unit": "greedy.service", "memory_max": "40M", "initial_delay": 3}
    ended = host.deploy({**greedy, "activation": SHORT, "checks": {"frugal": frugal}})
    assert ended["event"] == "host_rolled_back", ended
    assert "MiB, and 40.0 MiB is the most" in ended["reason"]
    assert "100001" in host.machine.run("ps -o args= -p $(systemctl show --property=MainPID --value web.service)")

    ended = host.deploy({**greedy, "checks": {"frugal": {**frugal, "memory_max": "400M"}}})
    assert ended["event"] == "host_confirmed", ended

    hangs = services(web="/bin/sleep 100003")
    hangs["systemd"]["services"]["stuck"] = {
        "wanted_by": ["multi-user.target"],
        "service": {
            "Type": "notify",
            "ExecStart": "/bin/sh -c 'trap \"\" TERM; setsid sleep 71702 & sleep 71702'",
            "TimeoutStopSec": 3,
        },
    }
    ended = host.deploy({**hangs, "activation": {**TIMING, "unit_timeout": 6}})
    assert ended["event"] == "host_rolled_back", ended
    assert "stuck.service" in ended["reason"]
    assert running() == "running\n0"
    assert "100002" in host.machine.run("ps -o args= -p $(systemctl show --property=MainPID --value web.service)")

    assert [event["event"] for event in host.do("rollback", "--yes").seen if event.get("event") == "host_confirmed"]
    assert "100001" in host.machine.run("ps -o args= -p $(systemctl show --property=MainPID --value web.service)")
    assert running() == "running\n0"
