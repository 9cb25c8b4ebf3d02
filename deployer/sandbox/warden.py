"""Makes the sandboxes of builds: a small process of its own, which the kernel copies in less time than the large one that asks.

It is started with one end of a socket of packets. The first packet that comes are the settings; the answer is empty, or why
this machine lets us make no sandbox. Then come orders to start a build or to kill one (`START`, `KILL`), and what goes back is
how each ended (`ENDED`), when nothing of it is left. What a build is to see is a plan (`deployer.sandbox.cell`).

A sandbox is a new user, mount, process, IPC, host name and control group namespace, and a network one unless the plan says
otherwise. Its first process is the builder. It has no capability, can get none, and holds no descriptor but its input and output.
The kernel kills it when this process is gone, and this process goes when the socket is closed. What is imported here is what
every run of builds waits for: so it is little.
"""

from __future__ import annotations

import ctypes
import gc
import marshal
import os
import select
import struct
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, socket, socketpair

from deployer.sandbox.making import FAILED, HOST_NAME, KILLED, Common, become, name_host, say
from deployer.sandbox.networks import NETWORK, Networks, library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Final, Optional, Tuple

    from deployer.sandbox.making import Plan, Settings

START, KILL, ENDED = 1, 2, 3
PACKET: Final = struct.Struct("=BQi")
"""What it is, the number of the build, and the status that it ended with."""
PACKET_LIMIT: Final = 1 << 16
"""Bytes of the settings, and of a plan that follows in its packet; a longer one stands in a file whose descriptor is passed."""
CLONE: Final = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
_NAMESPACES: Final = 0x00020000 | 0x02000000 | 0x08000000 | 0x10000000 | 0x20000000
"""Mounts, control groups, IPC, users, processes: new ones for each build."""
_CHILD_ENDED: Final = 17
"""SIGCHLD."""


def serve(descriptor: int) -> None:
    """Make what is asked for, until the socket is closed."""
    channel = socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)  # It was ours to inherit, and no build's.
    settings: Settings = marshal.loads(channel.recv(PACKET_LIMIT))
    os.chdir("/")
    if os.geteuid() == 0:
        try:
            os.setgroups([])
        except PermissionError:
            pass  # Not root's right everywhere in containers.
    gc.disable()  # In a copy, it would have the kernel copy all that it touches.
    Warden(channel, settings).serve()


class Warden:
    """The builds that run, by number, and those whose first process waits to be told who it is."""

    def __init__(self, channel: socket, settings: Settings) -> None:
        self._channel, self._settings, self._common = channel, settings, Common(settings)
        self._poll = select.poll()
        self._gates: Dict[int, Tuple[socket, int]] = {}
        self._running: Dict[int, Tuple[int, int]] = {}
        """By the handle of the first process: its number, and the build's."""
        self._networks: Optional[Networks] = None
        self._lent: Dict[int, int] = {}
        """By the handle of the first process: the network that its build is in."""
        try:
            networks = Networks()
        except OSError:
            return  # Then each build gets new ones of both.
        if library.unshare(HOST_NAME) == 0:
            # No build can change the name, so one for all of them is as good as one for each.
            name_host()
            self._networks = networks

    def serve(self) -> None:
        """Try whether sandboxes can be made here, tell, and make them."""
        self._channel.send(self._trial().encode() or b"ready")
        self._poll.register(self._channel, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._gates:
                    self._let_in(descriptor)
                elif descriptor in self._running:
                    self._tell(descriptor)
                elif descriptor == self._channel.fileno() and not self._obey():
                    return

    def _trial(self) -> str:
        reader, writer = os.pipe()
        self._start(0, {"steps": (), "network": False}, writer)
        os.close(writer)
        while self._running:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._gates:
                    self._let_in(descriptor)
                else:
                    self._reap(descriptor)
        with open(reader, "rb") as said:
            return said.read(1000).decode(errors="replace")

    def _obey(self) -> bool:
        """Whether there is still somebody."""
        data, passed, _, _ = self._channel.recvmsg(PACKET.size + PACKET_LIMIT, CMSG_SPACE(8), MSG_CMSG_CLOEXEC)
        if not data:
            return False
        descriptors = [number for _, _, numbers in passed for number in struct.unpack(f"={len(numbers) // 4}i", numbers)]
        kind, build, _ = PACKET.unpack_from(data)
        if kind == START:
            output, *files = descriptors
            # From who started us: nobody else has the socket.
            plan = marshal.loads(_read(files[0]) if files else memoryview(data)[PACKET.size :])
            if not self._start(build, plan, output):
                self._channel.send(PACKET.pack(ENDED, build, FAILED))
            os.close(output)
        else:
            for process, number in self._running.values():
                if number == build:
                    os.kill(process, KILLED)  # It is nobody else's number before we have reaped it.
        return True

    def _start(self, build: int, plan: Plan, output: int) -> bool:
        ours, theirs = socketpair()
        network, own = -1, _NAMESPACES if self._networks is not None else _NAMESPACES | HOST_NAME
        if not plan["network"]:
            network = self._enter_network()
            own |= 0 if network >= 0 else NETWORK
        arguments = ctypes.c_ulong(own | _CHILD_ENDED), None, None, None, None
        process = library.syscall(CLONE[os.uname().machine], *arguments)
        if process == 0:
            become(self._common, plan, output, theirs, own)
        reason = os.strerror(ctypes.get_errno())
        if self._networks is not None:
            self._networks.leave()
        theirs.close()
        if process < 0:
            ours.close()
            if self._networks is not None and network >= 0:
                self._networks.give_back(network)
            say(output, f"this machine does not let us make a sandbox: {reason}")
            return False
        handle = os.pidfd_open(process)
        self._gates[ours.fileno()] = (ours, process)
        self._running[handle] = (process, build)
        if network >= 0:
            self._lent[handle] = network
        self._poll.register(ours, select.POLLIN)
        self._poll.register(handle, select.POLLIN)
        return True

    def _enter_network(self) -> int:
        """One that the build to be started is then in, too; less than 0 where it is to have one made by itself."""
        try:
            return self._networks.enter() if self._networks is not None else -1
        except OSError:
            return -1  # There may be too many on this machine; then that is told when the build's own is made.

    def _let_in(self, descriptor: int) -> None:
        """A first process is bound to die with us now. Say who it is inside, and let it go on; without that, it ends."""
        gate, process = self._gates.pop(descriptor)
        self._poll.unregister(descriptor)
        try:
            if gate.recv(1):
                gate.send(self._identify(process).encode() or b"\0")
        except OSError:
            pass  # It has ended, which is told elsewhere.
        gate.close()

    def _identify(self, process: int) -> str:
        """Say who a process is in its user namespace. Returns why that can't be."""
        user, group = self._settings["user"], self._settings["group"]
        texts = (("setgroups", "deny"), ("uid_map", f"{user} {os.geteuid()} 1"), ("gid_map", f"{group} {os.getegid()} 1"))
        try:
            for name, text in texts:
                descriptor = os.open(f"/proc/{process}/{name}", os.O_WRONLY)
                try:
                    os.write(descriptor, text.encode())
                finally:
                    os.close(descriptor)
        except OSError as error:
            return f"this machine does not let us use a user namespace: {error.strerror}"
        return ""

    def _tell(self, handle: int) -> None:
        build, status = self._reap(handle)
        self._channel.send(PACKET.pack(ENDED, build, status))

    def _reap(self, handle: int) -> Tuple[int, int]:
        """The first process of a namespace ends after all others of it."""
        process, build = self._running.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        for descriptor, (gate, whose) in [*self._gates.items()]:
            if whose == process:  # It ended before it was let in, and its number may soon be another's.
                del self._gates[descriptor]
                self._poll.unregister(descriptor)
                gate.close()
        _, status = os.waitpid(process, 0)
        network = self._lent.pop(handle, -1)
        if self._networks is not None and network >= 0:
            self._networks.give_back(network)
        return build, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()
