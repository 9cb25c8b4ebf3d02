"""The lab makes what it says, takes down what it made, and nothing else."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.lab import (
    FULL,
    HostsNotRunning,
    LabBusy,
    LabHost,
    LabNameRefused,
    NoSuchLab,
    NoSuchLabHost,
    OutOfAddresses,
    cgroups,
    down,
    down_orphans,
    inside,
    is_running,
    load,
    missing_needs,
    start,
    up,
)
from deployer.lab.places import known_labs
from deployer.lab.record import MOUNT, NAMESPACE, Record

pytestmark = pytest.mark.lab

NAME = f"room-{os.getpid()}"


@pytest.fixture(autouse=True)
def _a_clean_start_and_end():
    if missing := missing_needs():
        if os.environ.get("CI"):
            pytest.fail(missing[0].message)
        pytest.skip(f"this needs real hosts, and {missing[0].message}")
    yield
    if NAME in known_labs():
        asyncio.run(down(NAME))


def traces(name: str = NAME) -> list[str]:
    """All that could remain of a lab on this machine: mounts, namespaces, control groups, processes, files."""
    mounts = [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}/" in line or f"dlab-{name}" in line
    ]
    files = [str(path) for place in ("/run/netns", "/var/lib/deployer-lab") for path in Path(place).glob(f"*{name}*")]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/deployer-lab/{name}")]
    processes = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"/{name}/hosts/".encode() in command.read_bytes():
                processes.append(str(command))
        except OSError:
            continue
    return [*mounts, *files, *groups, *processes]


async def kill_when_under_way(process: subprocess.Popen[bytes], moment: float) -> None:
    """Kill a run some time after it has begun to make the lab."""
    deadline = time.monotonic() + 20
    while NAME not in known_labs() and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    await asyncio.sleep(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def test_down_removes_everything_that_up_made():
    lab = await up(NAME, 2)
    assert len(traces()) > 4
    assert [await is_running(host) for host in lab.hosts] == [True, True]

    await down(NAME)

    assert traces() == []


async def test_up_again_changes_nothing_and_may_add_hosts():
    before = await up(NAME, 1)
    host = before.hosts[0]
    process = host.pid_file.read_text()

    after = await up(NAME, 2)

    assert after.hosts[0] == host
    assert host.pid_file.read_text() == process
    assert [one.name for one in after.hosts] == ["host1", "host2"]
    assert load(NAME) == after


@pytest.mark.parametrize("moment", [0.03, 0.1, 0.2, 0.3, 0.5])
async def test_a_run_that_was_killed_is_swept_by_its_record(moment):
    await up(NAME, 1)  # the base is there now, so the run below spends its time on the hosts
    await down(NAME)
    program = f"import asyncio; from deployer.lab import up; asyncio.run(up({NAME!r}, 3))"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    await kill_when_under_way(process, moment)

    await down(NAME)

    assert traces() == []


async def test_a_run_that_was_killed_is_completed_by_running_it_again():
    program = f"import asyncio; from deployer.lab import up; asyncio.run(up({NAME!r}, 3))"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    await kill_when_under_way(process, 0.15)

    lab = await up(NAME, 3)

    assert [await is_running(host) for host in lab.hosts] == [True] * 3


async def test_a_lab_whose_owner_has_ended_is_an_orphan_and_others_are_not():
    short = subprocess.Popen(["sleep", "30"])
    await up(NAME, 1, owner=short.pid)
    assert NAME not in await down_orphans()

    short.kill()
    short.wait()

    assert NAME in await down_orphans()
    assert traces() == []


async def test_two_labs_with_the_same_addresses_do_not_meet():
    one = await up(NAME, 1)
    other_name = f"{NAME}-b"
    other = await up(other_name, 1)
    try:
        assert one.hosts[0].address == other.hosts[0].address

        for lab in (one, other):
            with inside(lab):
                answer = subprocess.run(
                    ["ssh", "-F", str(lab.ssh_config), "host1", "true"], check=False, capture_output=True, timeout=20
                )
            assert answer.returncode == 0  # the host keys differ, and strict checking is on
    finally:
        await down(other_name)


async def test_stopping_a_service_on_one_host_leaves_the_other_alone():
    lab = await up(NAME, 2)
    first, second = ("ssh", "-F", str(lab.ssh_config), "host1"), ("ssh", "-F", str(lab.ssh_config), "host2")

    with inside(lab):
        subprocess.run([*first, "systemctl stop systemd-logind"], check=True, timeout=20)
        answer = subprocess.run([*second, "systemctl is-active systemd-logind"], check=False, capture_output=True, timeout=20)

    assert answer.stdout == b"active\n"


async def test_a_control_group_is_gone_once_what_ends_in_it_has_left_and_is_not_waited_for_for_ever():
    groups = cgroups.groups_of(await cgroups.hierarchies(), NAME, "host1")
    cgroups.make(groups)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        for group in groups:
            (group / "cgroup.procs").write_text(str(process.pid))
        assert [await cgroups.remove(group, seconds=0) for group in groups] == [False] * len(groups)

        removals = [asyncio.create_task(cgroups.remove(group)) for group in groups]
        await asyncio.sleep(0)  # each has found its group busy

    assert await asyncio.gather(*removals) == [True] * len(groups)
    assert traces() == []


async def test_the_command_line_reports_errors_with_a_remedy_and_no_traceback():
    command = [sys.executable, "-m", "deployer.lab", "ssh", "--lab", "no-such-lab", "host1"]

    answer = subprocess.run(command, check=False, capture_output=True, text=True)

    assert answer.returncode == 2
    assert "there is no lab 'no-such-lab'" in answer.stderr
    assert "Traceback" not in answer.stderr


async def test_exec_runs_a_command_inside_the_labs_network():
    await up(NAME, 1)

    command = [sys.executable, "-m", "deployer.lab", "exec", NAME, "--", "ip", "-brief", "address", "show", "dev", "hosts"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)

    assert "192.0.2.1/24" in answer.stdout


async def test_requests_that_cannot_be_met_are_refused_before_anything_is_made():
    with pytest.raises(OutOfAddresses):
        await up(NAME, 300)
    with pytest.raises(LabNameRefused):
        await up("Not A Name", 1)
    with pytest.raises(NoSuchLab):
        load("never-made")

    assert [place for place in traces() if "netns" in place] == []


async def test_a_host_that_the_lab_does_not_have_is_told_with_those_it_has():
    lab = await up(NAME, 2)

    with pytest.raises(NoSuchLabHost) as caught:
        lab.host("hots1")

    assert caught.value.remedy.startswith("Did you mean host1")


async def test_a_host_that_cannot_boot_is_told_with_what_it_said():
    lab = await up(NAME, 1)
    broken = LabHost(lab.name, "host9", 99, "bookworm", FULL)

    with pytest.raises(HostsNotRunning) as caught:
        await start(broken, timeout=5)

    assert caught.value.states.keys() == {"host9"}


async def test_a_lab_is_changed_by_one_command_at_a_time():
    await up(NAME, 1)
    with Path(f"/var/lib/deployer-lab/.{NAME}.lock").open("w") as other_command:
        fcntl.flock(other_command, fcntl.LOCK_EX)

        with pytest.raises(LabBusy):
            await up(NAME, 2)

    assert len(load(NAME).hosts) == 1


def test_two_views_of_one_record_do_not_lose_each_others_entries(tmp_path):
    one, other = Record(tmp_path / "record"), Record(tmp_path / "record")
    one.note(MOUNT, "/a", "host1")
    other.note(MOUNT, "/b", "host2")

    one.forget("host3")

    assert [entry.name for entry in one.entries()] == ["/b", "/a"]


def test_a_record_survives_a_torn_last_line(tmp_path):
    path = tmp_path / "record"
    record = Record(path)
    record.note(MOUNT, "/a", "host1")
    record.note(NAMESPACE, "b")
    with path.open("a") as file:
        file.write('{"kind": "mou')

    again = Record(path)
    again.note(MOUNT, "/c")

    assert [entry.name for entry in Record(path).entries()] == ["/c", "b", "/a"]
    assert [entry.name for entry in Record(path).entries("host1")] == ["/a"]
