"""What a build can see and do in the sandbox; mostly, what it cannot."""

import asyncio
import bz2
import dataclasses
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from deployer.build.attributes import Attributes
from deployer.build.environment import Machine, start_of
from deployer.build.errors import BuildFailed, BuildTimedOut, LogTooLong
from deployer.build.logs import LogWriter
from deployer.build.printed import Printed
from deployer.formats import Derivation, Output
from deployer.formats.building import BuildOrder
from deployer.sandbox import RunLimits, SandboxSpec, run_in_sandbox
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.bubblewrap import bubblewrap_options
from deployer.sandbox.cells import Cells
from deployer.sandbox.seccomp import sandbox_filter
from deployer.sandbox.spec import ETC_FILES

INPUT = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-input"
OUTPUT = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-output"
LIMITS = RunLimits(timeout=20, silence_timeout=10, log_limit=1 << 20)


class Room:
    """A place to run scripts in the sandbox."""

    def __init__(self, tmp_path, toolchain, maker="warden"):
        self.path, self.toolchain, self.maker = tmp_path, toolchain, maker
        for name in ("store", "build", "input"):
            (tmp_path / name).mkdir()
        (tmp_path / "input/file").write_text("from the input")
        self.output = tmp_path / "store" / os.path.basename(OUTPUT)

    def spec(self, script):
        derivation = Derivation("test", {"out": Output(OUTPUT)}, environment={"out": OUTPUT, "PATH": "/usr/bin"})
        start = start_of(Attributes(derivation, "test"), {"out": OUTPUT}, {}, Machine("/nix/store", 2))
        return SandboxSpec(
            builder="/bin/sh",
            arguments=("-e", "-c", script),
            environment=start.environment,
            store_directory="/nix/store",
            scratch_store=self.path / "store",
            build_directory=self.path / "build",
            inputs={INPUT: self.path / "input"},
            toolchain=self.toolchain,
        )

    async def sandboxes(self):
        if self.maker == "bubblewrap":
            return Bubbles((shutil.which("bwrap") or "",))
        cells = Cells()
        assert await cells.open() == ""
        return cells

    async def run(self, script, limits=LIMITS, **changes):
        lines: list[str] = []
        spec = dataclasses.replace(self.spec(script), **changes)
        log = LogWriter(self.path / "log")
        printed = Printed(log, lines.append)
        sandboxes = await self.sandboxes()
        try:
            ending = await run_in_sandbox(sandboxes, spec, limits=limits, on_output=printed.write)
        finally:
            sandboxes.close()
        printed.finish()
        log.seal()
        if not ending.is_good:
            order = BuildOrder("test", "", (), {}, "/nix/store", (), {}, **dataclasses.asdict(limits))
            raise printed.failure(order, ending)
        return lines


@pytest.fixture(params=["warden", "bubblewrap"])
def room(request, tmp_path, toolchain_tree):
    """Whatever makes them, sandboxes are the same."""
    return Room(tmp_path, toolchain_tree, request.param)


async def test_a_build_sees_its_input_and_writes_its_output(room):
    lines = await room.run(f"cat {INPUT}/file > $out; echo done; echo to-stderr >&2")

    assert room.output.read_text() == "from the input"
    assert lines == ["done", "to-stderr"]
    assert bz2.decompress((room.path / "log.bz2").read_bytes()) == b"done\nto-stderr\n"


async def test_a_build_has_nixs_environment(room):
    lines = await room.run("uname -n; id -u; id -g; umask; env")

    assert lines[:4] == ["localhost", "1000", "100", "0022"]
    assert {
        "HOME=/homeless-shelter",
        "NIX_BUILD_TOP=/build",
        "TMPDIR=/build",
        "NIX_STORE=/nix/store",
        "NIX_BUILD_CORES=2",
    } <= set(lines)
    assert not [line for line in lines if line.startswith(("XDG_", "SSH_", "LANG"))]


@pytest.mark.parametrize(
    "escape",
    [
        "cat /etc/shadow",
        "ls /work || ls /root/.ssh || ls /var/tmp",
        "touch /escaped",
        "touch /etc/escaped",
        f"touch {INPUT}/escaped",
        "touch /usr/bin/escaped",
        "ls /nix/store/cccccccccccccccccccccccccccccccc-another",
        "touch $out; chmod 4755 $out",
        "touch $out; chmod g+s $out",
        "ls /sys/class/net",
        # Opened for writing, without writing: root's own files in /proc are not to be had, not even by root's builds.
        ": >> /proc/sys/kernel/core_pattern",
        ": >> /proc/irq/default_smp_affinity",
        ": >> /proc/sysrq-trigger",
        "ls /dev/kmsg || ls /dev/vda || ls /dev/sda",
        "mknod $TMP/null c 1 3",
        "ln /nix/store/*-input/file $out",
        "echo x > $out; ln $out /build/other",
    ],
)
async def test_an_escape_is_refused(room, escape):
    with pytest.raises(BuildFailed):
        await room.run(escape)

    assert not (room.path / "input/escaped").exists()


async def test_accounts_are_not_those_of_this_machine(room):
    lines = await room.run("cat /etc/passwd")

    assert lines == ETC_FILES["passwd"].splitlines()


@pytest.mark.parametrize("network", [False, True])
async def test_a_build_is_the_same_and_may_the_same_whatever_makes_its_sandbox(tmp_path, toolchain_tree, network):
    """Rights, identities and signals; what is mounted and how; what is open; which namespaces are its own."""
    namespaces = "for name in user mnt pid ipc uts cgroup net; do ls -l /proc/self/ns/$name; done"
    script = f"cat /proc/self/status; echo; cat /proc/self/mountinfo; echo; ls /proc/self/fd; echo; {namespaces}"
    seen = {}
    for maker in ("warden", "bubblewrap"):
        (tmp_path / maker).mkdir()
        lines = await Room(tmp_path / maker, toolchain_tree, maker).run(script, network=network)
        seen[maker] = [text.splitlines() for text in "\n".join(lines).split("\n\n")]
    ours, theirs = seen["warden"], seen["bubblewrap"]
    kept = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:", "SigIgn", "SigBlk")

    assert [line for line in ours[0] if line.startswith(kept)] == [line for line in theirs[0] if line.startswith(kept)]
    by_us, by_them = _mounts(ours[1]), _mounts(theirs[1])
    # Bubblewrap shows what this machine has mounted there, such as binfmt_misc; in a new /proc there is no such thing.
    by_them = {place: flags for place, flags in by_them.items() if not place.startswith("/proc/sys/")}
    assert not any(flags - by_us[place] for place, flags in by_them.items())
    assert set(by_us) == set(by_them)
    assert ours[2] == theirs[2] == ["0", "1", "2", "3"]
    own = {line.split(" -> ")[1] for line in ours[3]}
    here = {os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "pid", "ipc", "uts", "cgroup", "net")}
    assert own & here == ({os.readlink("/proc/self/ns/net")} if network else set())


def _mounts(lines):
    """What forbids something, of each place."""
    forbidding = {"ro", "nosuid", "nodev", "noexec"}
    return {place: forbidding & set(flags.split(",")) for _, _, _, _, place, flags, *_ in map(str.split, lines)}


@pytest.mark.parametrize("network", [False, True])
async def test_only_a_fixed_output_has_the_network(room, network):
    lines = await room.run("cat /proc/net/dev; ls /etc; cat /etc/hosts 2>&1 || true", network=network)

    hosts = Path("/etc/hosts")
    here = hosts.read_text() if hosts.exists() else "cat: /etc/hosts: No such file or directory\n"
    listed = [line.split(":")[0].strip() for line in lines[2 : lines.index("group")]]
    ours = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    assert sorted(listed) == (sorted(ours) if network else ["lo"])
    assert ("nsswitch.conf" in lines) is network
    assert ("\n".join(lines) + "\n").endswith(here if network else ETC_FILES["hosts"])


async def test_a_build_with_the_network_cannot_choose_the_file_of_certificates(room, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "ours").write_text("ours")
    monkeypatch.setenv("NIX_SSL_CERT_FILE", str(tmp_path / "ours"))
    environment = {"PATH": "/usr/bin", "NIX_SSL_CERT_FILE": str(tmp_path / "secret"), "SSL_CERT_FILE": str(tmp_path / "secret")}

    assert await room.run("cat /etc/ssl/certs/*", network=True, environment=environment) == ["ours"]


@pytest.mark.parametrize(("network", "answer"), [(True, "PermissionError"), (False, "ConnectionRefusedError")])
async def test_sockets_without_a_file_are_not_reached(room, network, answer):
    if network and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 12):
        pytest.skip("this kernel cannot keep a process from them")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0deployer-test-{os.getpid()}")
        listening.listen()
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0deployer-test-{os.getpid()}')"
        script = f'/usr/bin/python3 -c "{connect}" 2>&1 || true'
        lines = await room.run(script, network=network, toolchain=Path("/"))

    assert lines[-1].startswith(answer)


async def test_other_processes_are_not_seen(room):
    lines = await room.run("ls /proc")

    assert len([line for line in lines if line.isdigit()]) <= 3


async def test_what_a_build_leaves_running_dies_with_it(room):
    started = time.monotonic()

    await room.run("mkdir $out; (while :; do sleep 0.1; echo x >> $out/grows; done) & sleep 0.3")

    assert time.monotonic() - started < 5
    size = (room.output / "grows").stat().st_size
    await asyncio.sleep(0.4)
    assert (room.output / "grows").stat().st_size == size


async def test_nothing_in_proc_but_processes_can_be_written_to(room):
    find = "find /proc -path '/proc/[0-9]*' -prune -o -writable -type f -print"
    lines = await room.run(f"{find} | while read -r file; do [ ! -f $file ] || echo $file; done")

    assert [line for line in lines if not line.startswith("/proc/pressure/")] == []


async def test_what_closed_its_output_and_stays_is_dead_too_when_the_build_has_ended(room):
    silent = "(exec >/dev/null 2>&1 </dev/null; while :; do echo x >> $out/grows; done) &"
    script = f"mkdir $out; {silent} while [ ! -s $out/grows ]; do :; done"

    for _ in range(5):
        await room.run(f"rm -rf $out; {script}")
        size = (room.output / "grows").stat().st_size
        await asyncio.sleep(0.02)
        assert (room.output / "grows").stat().st_size == size


async def test_a_failing_build_tells_its_status_and_last_words(room):
    with pytest.raises(BuildFailed) as caught:
        await room.run("echo one; echo two >&2; exit 3")

    assert (caught.value.status, caught.value.log_tail) == (3, ("one", "two"))


@pytest.mark.parametrize(
    ("script", "limits", "silent"),
    [
        ("while :; do echo x; sleep 0.1; done", RunLimits(0.5, 10, 1 << 20), False),
        ("sleep 30", RunLimits(10, 0.5, 1 << 20), True),
    ],
)
async def test_a_build_is_stopped_by_the_clock(room, script, limits, silent):
    with pytest.raises(BuildTimedOut) as caught:
        await room.run(script, limits)

    assert caught.value.silent is silent


async def test_a_build_that_prints_too_much_is_stopped(room):
    with pytest.raises(LogTooLong):
        await room.run("yes", RunLimits(10, 10, 10_000))


def test_a_symbolic_link_of_the_closure_is_made_and_not_followed(room):
    (room.path / "link").symlink_to("/etc/shadow")
    spec = room.spec("true")
    object.__setattr__(spec, "inputs", {INPUT: room.path / "link"})

    options = bubblewrap_options(spec, {})

    assert options[options.index(INPUT) - 2 : options.index(INPUT)] == ["--symlink", "/etc/shadow"]


def test_the_filter_is_whole_for_the_machines_that_we_build_on():
    for machine in ("x86_64", "aarch64"):
        program = sandbox_filter(machine)
        assert program is not None
        assert len(program) % 8 == 0
    assert sandbox_filter("riscv64") is None
