"""Network namespaces for builds, which hold nothing but a loopback: to make and to end one costs more than all else of a sandbox.

So root's warden hands one on to the next build, where nothing tells it from a new one: the last build's processes are gone, no
packet has moved in it, no counter has changed, no socket is left. Any other is given up. No build has rights over it in any case:
it belongs to the user namespace of the warden.
"""

from __future__ import annotations

import ctypes
import os
import struct
from _socket import AF_INET, SOCK_DGRAM, socket

TYPE_CHECKING = False
if TYPE_CHECKING:  # See `deployer.sandbox.making`.
    from typing import Dict, Final, Iterator, List

NETWORK: Final = 0x40000000
_OWN: Final = "/proc/self/ns/net"
_TOLD: Final = ("dev", "snmp", "netstat", "snmp6", "unix")
"""Of `/proc/net`: packets of each device, counters of each protocol, sockets that a name or nobody keeps."""
_MOST: Final = 1 << 16
"""Bytes that are read of each."""
_SET_FLAGS, _UP = 0x8914, 1
library: Final = ctypes.CDLL(None, use_errno=True)


class Networks:
    """Those that are free, and what each showed of itself when it was new."""

    def __init__(self) -> None:
        """None is made yet. Raises `OSError` where the warden may not come back from another, as only root may."""
        self._home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self._free: List[int] = []
        self._told: Dict[int, List[int]] = {}
        """Of each, what tells of it: files that go on to tell of the one that they were opened in."""
        self._new: Dict[int, List[bytes]] = {}
        self.leave()

    def enter(self) -> int:
        """Go into one that nobody is in. Raises `OSError`."""
        if self._free:
            network = self._free.pop()
            self._go(network)
            return network
        if library.unshare(NETWORK) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            bring_loopback_up()
            network = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
            self._told[network] = [*_opened()]
            self._new[network] = self._shown(network)
        except BaseException:
            self.leave()
            raise
        return network

    def leave(self) -> None:
        """Go back to where the warden is at home. Raises `OSError`."""
        self._go(self._home)

    def give_back(self, network: int) -> None:
        """All that were in it have ended. Raises `OSError`."""
        if self._shown(network) == self._new[network]:
            self._free.append(network)
        else:
            del self._new[network]
            for descriptor in (network, *self._told.pop(network)):
                os.close(descriptor)

    def _shown(self, network: int) -> List[bytes]:
        return [os.pread(file, _MOST, 0) for file in self._told[network]]

    def _go(self, network: int) -> None:
        if library.setns(network, NETWORK) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def bring_loopback_up() -> None:
    """In the namespace that this process is in. Raises `OSError`."""
    any_socket = socket(AF_INET, SOCK_DGRAM)
    try:
        if library.ioctl(any_socket.fileno(), ctypes.c_ulong(_SET_FLAGS), struct.pack("=16sh22x", b"lo", _UP)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "lo")
    finally:
        any_socket.close()


def _opened() -> Iterator[int]:
    for name in _TOLD:
        try:
            yield os.open(f"/proc/self/net/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            pass  # There may be no version 6.
