"""A virtual machine with a kernel of its own.

qemu emulates it, so it needs no virtualisation below it. Killing qemu is a power cut: what the machine's kernel had not yet
written to its disk, and what the disk had not yet been told to keep, is gone.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from tests.machines.image import FIRST, Image
from tests.machines.machine import NAME, Machine, bound, overlay

_MEMORY: Final = 512
"""MiB."""
_KERNEL_OPTIONS: Final = (
    f"rdinit={FIRST} quiet net.ifnames=0 mitigations=off nokaslr tsc=reliable no_timer_check cryptomgr.notests=1"
    " random.trust_cpu=on"
)
_PC: Final = ("qemu-system-x86_64", "pc", "max,la57=off,smap=off,smep=off,pku=off", "ttyS0")
_BOARDS: Final = {"": _PC, "arm64": ("qemu-system-aarch64", "virt", "cortex-a72", "ttyAMA0")}
"""By architecture: qemu's program, a board, a processor and the console. What costs an emulated processor much is left out."""
_BOOT_SECONDS: Final = 600.0
_SAVE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.3


class VirtualMachine(Machine):
    """Reached through a port of the loopback address. Nothing else leaves it."""

    def __init__(self, directory: Path, image: Image, below: Path | None = None, options: str = "") -> None:
        """It is off. `options` are for its kernel, besides those that all have."""
        self.directory, self._image, self._options = directory, image, f"{_KERNEL_OPTIONS} {options}".rstrip()
        self.disk, self._monitor, self._console = directory / "disk", directory / "monitor", directory / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port()
        directory.mkdir(parents=True)
        overlay(self.disk, below or image.disk, "qcow2" if below else "raw")
        known_hosts, self.ssh_config, self.inventory = (
            directory / "known_hosts",
            directory / "ssh_config",
            directory / "inventory",
        )
        known_hosts.write_text(f"[127.0.0.1]:{self._port} {image.host_key}\n")
        self.ssh_config.write_text(
            f"Host {NAME}\n  HostName 127.0.0.1\n  Port {self._port}\n  User root\n  IdentityFile {image.key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known_hosts}\n"
            "  StrictHostKeyChecking yes\n  LogLevel ERROR\n  ConnectTimeout 20\n"
        )
        connection = {
            "address": "127.0.0.1",
            "port": self._port,
            "user": "root",
            "identity_files": [str(image.key)],
            "known_hosts": str(known_hosts),
        }
        self.inventory.write_text(json.dumps({"hosts": {NAME: {"connection": connection}}}))

    def network(self) -> AbstractContextManager[None]:
        """Loopback is everywhere."""
        return contextlib.nullcontext()

    def boot(self) -> None:
        """Switch it on, and wait until its SSH server answers."""
        self._start()
        self._wait_for_ssh()

    def resume(self, memory: Path) -> None:
        """Go on with what was in the memory of the machine whose disk is below."""
        with memory.open("rb") as file:
            self._start("-incoming", f"fd:{file.fileno()}", descriptor=file.fileno())
        with contextlib.closing(self._reach_monitor()) as monitor:
            deadline = time.monotonic() + _SAVE_SECONDS
            while (status := monitor.ask("query-status")["status"]) == "inmigrate":
                assert time.monotonic() < deadline, status
                time.sleep(0.05)
            monitor.ask("cont")  # it was stopped when it was saved, and qemu gives it back as it was
        self._wait_for_ssh()

    def cut(self) -> None:
        """The power goes; nothing happens where there is none."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Its files are its owner's."""
        self.cut()

    def save(self) -> Path:
        """Stop it for good where it stands; the file with what was in its memory."""
        assert self._process is not None
        memory = self.directory / "memory"
        with contextlib.closing(_Monitor(self._monitor)) as monitor, memory.open("wb") as file:
            monitor.ask("stop")
            monitor.ask("getfd", descriptor=file.fileno(), fdname="memory")
            monitor.ask("migrate", uri="fd:memory")
            deadline = time.monotonic() + _SAVE_SECONDS
            while (status := monitor.ask("query-migrate").get("status")) != "completed":
                assert status != "failed"
                assert time.monotonic() < deadline, status
                time.sleep(0.05)
            monitor.ask("quit")
        self._process.wait(_SAVE_SECONDS)
        self._process = None
        return memory

    def _start(self, *more: str, descriptor: int | None = None) -> None:
        assert self._process is None, "it is on"
        self._monitor.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            bound([*self._hardware(), *more]),
            stdin=subprocess.DEVNULL,
            stdout=(self.directory / "qemu.log").open("ab"),
            stderr=subprocess.STDOUT,
            pass_fds=() if descriptor is None else (descriptor,),
        )

    def _reach_monitor(self) -> _Monitor:
        """The monitor of a machine that has only just been started."""
        deadline = time.monotonic() + _SAVE_SECONDS
        while True:
            self._assert_on()
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return _Monitor(self._monitor)
            assert time.monotonic() < deadline, "there is no monitor"
            time.sleep(0.05)

    def _assert_on(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "qemu.log").read_text()

    def _hardware(self) -> list[str]:
        forward = f"user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22"
        program, board, processor, console = _BOARDS[self._image.architecture]
        return [
            *(program, "-no-user-config", "-nodefaults", "-display", "none"),
            *("-machine", board, "-accel", "tcg,thread=multi,tb-size=256", "-cpu", processor),
            *("-m", str(_MEMORY)),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)),
            *("-append", f"{self._options} console={console}"),
            *("-drive", f"file={self.disk},if=none,id=disk,format=qcow2,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"),
            *("-netdev", forward, "-device", "virtio-net-pci,netdev=network,romfile="),
            *("-serial", f"file:{self._console}", "-qmp", f"unix:{self._monitor},server=on,wait=off"),
        ]

    def _wait_for_ssh(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            self._assert_on()
            with contextlib.suppress(subprocess.TimeoutExpired):
                if subprocess.run(self.ssh("true"), check=False, capture_output=True, timeout=30).returncode == 0:
                    return
            assert time.monotonic() < deadline, self._console.read_text(errors="replace")[-3000:]
            time.sleep(_POLL_SECONDS)


class _Monitor:
    """qemu's own protocol: a JSON document a line."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_SAVE_SECONDS)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, *, descriptor: int | None = None, **arguments: str) -> dict[str, Any]:
        line = json.dumps({"execute": command, "arguments": arguments}).encode()
        socket.send_fds(self._socket, [line], [] if descriptor is None else [descriptor])
        while True:
            answer = json.loads(self._lines.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                found: dict[str, Any] = answer["return"]
                return found

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
