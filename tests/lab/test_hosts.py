"""The hosts that tests are given are what they say they are."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from deployer.lab import LabHost, crash, cut, heal, is_running, start
from deployer.lab.machines import leader


def test_a_host_is_debian_with_its_own_systemd_and_sshd(hosts, on):
    (host,) = hosts(1)

    inside = on(host)

    assert inside.system_info.codename == "bookworm"
    assert inside.service("ssh").is_running
    assert inside.check_output("systemctl is-system-running") == "running"
    assert inside.file("/etc/hostname").content_string.strip() == host.name


def test_a_host_knows_no_way_out_of_the_lab(hosts, on):
    (host,) = hosts(1)

    assert on(host).run("curl --max-time 2 http://198.51.100.1/").rc != 0


def test_a_crashed_host_comes_back_with_its_disk(machines, fresh_host, on):
    on(fresh_host).check_output("echo kept > /root/note && sync")

    machines.do(crash(fresh_host))
    assert not machines.do(is_running(fresh_host))
    machines.do(start(fresh_host))

    assert on(fresh_host).file("/root/note").content_string == "kept\n"


def test_a_host_reboots_by_itself(machines, fresh_host, on):
    before = leader(fresh_host)

    on(fresh_host).check_output("systemd-run --quiet systemctl reboot")

    assert_soon(lambda: leader(fresh_host) not in {None, before})
    assert_soon(lambda: machines.do(is_running(fresh_host)))


def test_a_host_that_is_cut_off_is_not_reached_until_it_is_healed(machines, fresh_host):
    machines.do(cut(fresh_host))
    assert not answers(fresh_host)

    machines.do(heal(fresh_host))
    assert answers(fresh_host)


def answers(host: LabHost) -> bool:
    """Whether the host's SSH port can be reached."""
    try:
        socket.create_connection((host.address, 22), timeout=1).close()
    except OSError:
        return False
    return True


def assert_soon(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Fail unless something holds within some seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_fresh_host_has_nothing_of_another_test(fresh_host, on, attempt):
    assert not on(fresh_host).file("/root/left-behind").exists

    on(fresh_host).check_output(f"echo {attempt} > /root/left-behind")


@pytest.mark.parametrize(
    ("release", "base", "python"),
    [("bullseye", "full", "Python 3.9"), ("trixie", "full", "Python 3.13"), ("bookworm", "no-python", "")],
)
def test_releases_and_bases_differ_in_their_python(fresh_hosts, on, release, base, python):
    (host,) = fresh_hosts(1, release=release, base=base)

    assert on(host).system_info.codename == release
    assert on(host).run("python3 --version").stdout.startswith(python)
    assert on(host).exists("python3") == bool(python)
