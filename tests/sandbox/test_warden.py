"""The process that makes sandboxes: many builds of one warden, what it tells, and what is left when it is gone."""

import asyncio
import dataclasses
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployer.build.errors import BuildFailed
from deployer.build.sandboxes import SandboxesRefused, open_sandboxes
from deployer.sandbox import RunLimits, run_in_sandbox
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.cells import Cells
from tests.build.conftest import make_toolchain
from tests.build.test_sandbox import Room

LIMITS = RunLimits(timeout=30, silence_timeout=30, log_limit=1 << 20)
OPEN = """
import asyncio
from deployer.sandbox.cells import Cells
print(asyncio.run(Cells().open()))
"""

ENTER_WITHOUT_WARDEN = """
import os
from _socket import socketpair
from deployer.sandbox.making import become
ours, theirs = socketpair()
warden = os.getpid()
if os.fork() == 0:
    while os.getppid() == warden:
        pass
    become({}, {}, 1, theirs, 0)
"""


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory):
    return make_toolchain(tmp_path_factory.mktemp("toolchain") / "root")


@pytest.fixture
async def cells():
    made = Cells()
    assert await made.open() == ""
    yield made
    made.close()


@pytest.fixture
def room(tmp_path, toolchain):
    return Room(tmp_path, toolchain)


def warden_of(cells):
    assert cells._process is not None
    return cells._process.pid


def children_of(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


async def started(lines, count=1):
    """Wait until builds have said that they run."""
    async with asyncio.timeout(20):
        while b"".join(lines).count(b"begun") < count:
            await asyncio.sleep(0)


def collecting():
    """What a build prints, and what takes it."""
    pieces: list[bytes] = []

    async def take(data):
        pieces.append(data)

    return pieces, take


async def test_builds_of_one_warden_end_each_by_itself_and_do_not_see_each_other(cells, tmp_path, toolchain):
    async def one(number):
        (tmp_path / str(number)).mkdir()
        pieces, take = collecting()
        spec = Room(tmp_path / str(number), toolchain).spec(f"echo $$; ls /proc; exit {number}")
        return await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take), b"".join(pieces).decode().split()

    found = await asyncio.gather(*(one(number) for number in range(12)))

    assert [ending.status for ending, _ in found] == list(range(12))
    for _, words in found:
        assert words[0] == "1"
        assert {word for word in words[1:] if word.isdigit()} <= {"1", "2"}


async def test_a_builder_that_is_not_there_is_told(room):
    with pytest.raises(BuildFailed) as caught:
        await room.run("true", builder="/usr/bin/none")

    assert caught.value.log_tail == ("deployer: /usr/bin/none can't be run: No such file or directory",)


async def test_what_has_no_place_in_the_plan_is_told_and_runs_nothing(room):
    with pytest.raises(BuildFailed) as caught:
        await room.run("touch $out", build_directory=room.path / "none")

    assert caught.value.log_tail[0].startswith("deployer: the sandbox could not be made: ")
    assert not room.output.exists()


async def test_a_signal_that_ended_the_builder_is_told_as_one(cells, room):
    _, take = collecting()
    spec = dataclasses.replace(room.spec("ulimit -t 1; while :; do :; done"))

    ending = await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take)

    assert ending.status in (-signal.SIGKILL, -signal.SIGXCPU)


async def test_builds_end_with_the_warden_and_the_next_one_is_told_too(cells, room):
    pieces, take = collecting()
    running = asyncio.create_task(run_in_sandbox(cells, room.spec("echo begun; sleep 1000"), limits=LIMITS, on_output=take))
    await started(pieces)
    (builder,) = children_of(warden_of(cells))

    os.kill(warden_of(cells), signal.SIGKILL)

    assert (await running).status == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{builder}/exe"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    assert (await run_in_sandbox(cells, room.spec("true"), limits=LIMITS, on_output=take)).status == -signal.SIGKILL


async def test_what_is_called_off_is_gone(cells, room):
    pieces, take = collecting()
    running = asyncio.create_task(run_in_sandbox(cells, room.spec("echo begun; sleep 1000"), limits=LIMITS, on_output=take))
    await started(pieces)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert children_of(warden_of(cells)) == []


@pytest.mark.skipif(bool(os.statvfs("/proc/sys").f_flag & os.ST_RDONLY), reason="a container whose /proc/sys is read-only")
async def test_where_the_kernel_gives_us_no_user_namespaces_that_is_told():
    unshare = ["unshare", "--user", "--map-root-user"]
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = [*unshare, "sh", "-c", forbid, "sh", sys.executable, "-c", OPEN]

    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=60
    )

    assert done.stdout.startswith("deployer: this machine does not let us make a sandbox: "), done.stderr


async def test_where_nothing_may_make_sandboxes_the_error_says_why_and_what_helps(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(SandboxesRefused, match="machines of the kind vax") as caught:
        await open_sandboxes()

    assert "max_user_namespaces" in caught.value.remedy


async def test_where_we_may_make_none_bubblewrap_does(monkeypatch):
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")

    async def refused(_):
        return "not here"

    monkeypatch.setattr(Cells, "open", refused)

    assert isinstance(await open_sandboxes(), Bubbles)


SILENT = "pass"
SENDS = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"
IS_REFUSED = """
import socket
try: socket.create_connection(('127.0.0.1', 9), 3)
except ConnectionRefusedError: pass
"""
HAS_NO_ROUTE = """
import socket
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))
except OSError: pass
"""
LISTENS_AND_SENDS_NOTHING = """
import socket
one, other = socket.socket(), socket.socket(socket.AF_UNIX)
one.bind(('127.0.0.1', 4000)); one.listen()
other.bind('\\0name'); other.listen()
"""
KEEPS_A_SOCKET_IN_FLIGHT = """
import socket
named, one, other = socket.socket(socket.AF_UNIX), *socket.socketpair(socket.AF_UNIX)
named.bind('\\0name'); named.listen()
socket.send_fds(one, [b'x'], [named.fileno(), other.fileno()])
"""


@pytest.mark.parametrize(
    ("does", "handed_on"),
    [(SILENT, True), (LISTENS_AND_SENDS_NOTHING, True), (SENDS, False), (IS_REFUSED, False), (HAS_NO_ROUTE, False)],
)
async def test_a_network_is_handed_on_only_where_it_is_as_new(cells, room, does, handed_on):
    if os.geteuid() != 0:
        pytest.skip("only root's warden hands networks on")
    first, second = [await network_of(cells, room, program) for program in (does, SILENT)]

    assert (first == second) is handed_on


async def test_a_build_cannot_leave_a_name_for_the_next_one(cells, room):
    """Not even by a socket that is on its way to nobody."""
    await network_of(cells, room, KEEPS_A_SOCKET_IN_FLIGHT)

    await network_of(cells, room, "import socket; socket.socket(socket.AF_UNIX).bind('\\0name')")


async def test_builds_at_the_same_time_are_in_networks_of_their_own(cells, tmp_path, toolchain):
    pieces, take = collecting()
    builds = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        spec = Room(tmp_path / str(number), toolchain).spec("ls -l /proc/self/ns/net; echo begun; sleep 1000")
        builds.append(asyncio.create_task(run_in_sandbox(cells, spec, limits=LIMITS, on_output=take)))

    await started(pieces, count=3)
    for build in builds:
        build.cancel()
    await asyncio.gather(*builds, return_exceptions=True)

    assert len(set(re.findall(rb"net:\[\d+\]", b"".join(pieces)))) == 3


async def network_of(cells, room, program):
    """Run a program in a build, and tell in which network that was."""
    pieces, take = collecting()
    script = '/usr/bin/readlink /proc/self/ns/net; exec /usr/bin/python3 -c "$program"'
    spec = room.spec(script)
    spec = dataclasses.replace(spec, environment={**spec.environment, "program": program}, toolchain=Path("/"))

    ending = await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take)

    assert ending.is_good, b"".join(pieces).decode()
    return b"".join(pieces)


async def test_a_closure_that_no_packet_holds_is_seen_all_the_same(cells, room):
    pieces, take = collecting()
    many = {f"/nix/store/{number:032}-input": room.path / "input" for number in range(1000)}
    script = "ls -d /nix/store/*-input | sort | head -n 1; ls -d /nix/store/*-input/file | sort -r | head -n 1"
    spec = dataclasses.replace(room.spec(script), inputs=many)

    ending = await run_in_sandbox(cells, spec, limits=LIMITS, on_output=take)

    assert ending.is_good
    assert b"".join(pieces).split() == [b"/nix/store/" + b"0" * 32 + b"-input", b"/nix/store/" + b"0" * 29 + b"999-input/file"]


async def test_what_was_not_yet_bound_to_a_warden_that_died_ends_too():
    """It waits at its gate, of which it has inherited the other end as well."""
    command = [sys.executable, "-c", ENTER_WITHOUT_WARDEN]

    # What it prints to is closed only when it has ended.
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, check=False, cwd=Path(__file__).parents[2], timeout=20
    )

    assert (done.returncode, done.stdout) == (0, b"")
