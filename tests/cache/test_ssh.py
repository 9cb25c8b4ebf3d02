"""Another machine's store as a cache. The host's end is the real server; the connection is a pair of sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from typing import Any, cast

import pytest

from deployer.cache import CacheCorrupt, CacheUnusable, PathNotCached, PathNotTrusted, push
from deployer.cache.opening import open_caches
from deployer.cache.transports.ssh import SshTransport
from deployer.copy import HostSession, RuntimeImage
from deployer.copy.errors import HostRefused
from deployer.copy.peer import HostPeer
from deployer.formats import StorePath
from deployer.formats.state import StateLine
from deployer.host.channel import Channel
from deployer.host.server import Server
from deployer.store import Store, verify
from tests.cache.world import KEY, built
from tests.host.world import World
from tests.ssh.sshd import host


class Pipe:
    """As `deployer.ssh.Channel`: bytes to and from the server."""

    stderr_tail = ""

    def __init__(self, reader, writer):
        self._reader, self.writer = reader, writer
        self.write, self.drain = writer.write, writer.drain
        self.read, self.readline = reader.read, reader.readline

    async def wait(self):
        return 0

    async def close(self):
        self.writer.close()


class Noting(Server):
    """Far away, and remembers what was asked."""

    def __init__(self, machine, channel, store, requests):
        super().__init__(machine, channel, store)
        self._requests = requests

    def _answer(self, request):
        self._requests.append(request.string("verb"))
        time.sleep(0.02)
        super()._answer(request)


class Machine:
    """A host with a store."""

    def __init__(self, root):
        world = World(root)
        self.store, self.machine, self.requests = Store(root), world.machine(), []

    async def connect(self):
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        pipe = Pipe(*await asyncio.open_connection(sock=ours))
        state = StateLine.parse("deployer-state 1 absent 0 - 0")
        return HostSession(host(address="x"), cast(Any, pipe), cast(Any, pipe), state, self._runtime)

    def open(self, location):
        return SshTransport(location, HostPeer(self.connect))

    def _serve(self, connection):
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        connection.sendall(b"ready\n")
        channel = Channel(connection.fileno(), connection.fileno())
        try:
            Noting(self.machine, channel, self.store, self.requests).serve()
        except OSError:
            pass
        connection.close()

    def _runtime(self):
        return RuntimeImage("/nix/store/x", b"")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other")


def reader(machine, url="ssh://machine", **options):
    return open_caches([url], **{"trusted_keys": [KEY.public], "openers": {"ssh": machine.open}, **options})


def web(store, count):
    paths: list[StorePath] = []
    for number in range(count):
        paths.append(built(store, f"web-{number}", os.urandom(50_000), paths[number // 2 : number // 2 + 1]))
    return paths


async def test_a_closure_comes_from_another_machine_in_few_round_trips(machine, other):
    paths = web(machine.store, 60)
    cache = reader(machine, "ssh://machine?trusted=true")

    assert list(await cache.held([*paths, StorePath("0" * 32, "absent")])) == paths
    await asyncio.gather(*(cache.substitute(other, path) for path in paths))
    await asyncio.to_thread(cache.close)

    assert other.closure(paths) == machine.store.closure(paths)
    assert verify(other) == ()
    assert machine.requests.count("describe") <= 15
    assert machine.requests.count("export") <= 40


async def test_what_nobody_signed_is_not_taken_and_signatures_come_along(machine, store, top, url, other, tmp_path):
    push(store, [top], url, key=KEY)
    await open_caches([url], trusted_keys=[KEY.public]).substitute(machine.store, top)
    unsigned = built(machine.store, "unsigned", b"x")
    cache = reader(machine)

    await cache.substitute(other, top)
    with pytest.raises(PathNotTrusted):
        await cache.substitute(other, unsigned)
    with pytest.raises(PathNotCached):
        await cache.substitute(other, StorePath("0" * 32, "absent"))
    await asyncio.to_thread(cache.close)

    assert other.query(top).signatures == machine.store.query(top).signatures != ()


async def test_what_is_damaged_there_is_refused(machine, other, top, store):
    path = built(machine.store, "damaged", b"x" * 1000)
    machine.store.physical(path).unlink()
    machine.store.physical(path).write_bytes(b"y" * 1000)
    shorter = built(machine.store, "shorter", b"x" * 1000)
    machine.store.physical(shorter).unlink()
    machine.store.physical(shorter).write_bytes(b"y" * 10)
    cache = reader(machine, check=False)

    with pytest.raises(CacheCorrupt):
        await cache.substitute(other, path)
    with pytest.raises(CacheUnusable):
        await cache.substitute(other, shorter)
    await asyncio.to_thread(cache.close)

    assert os.listdir(other.layout.aside) == []


async def test_what_can_not_be_sent_costs_nothing_else(machine, other):
    paths = [built(machine.store, f"path-{number}", b"x" * 5000) for number in range(12)]
    for path in paths[::4]:
        machine.store.physical(path).unlink()
    cache = reader(machine, check=False)

    ends = await asyncio.gather(*(cache.substitute(other, path) for path in paths), return_exceptions=True)
    await asyncio.to_thread(cache.close)

    assert [isinstance(end, CacheUnusable) for end in ends] == [True, False, False, False] * 3
    assert other.valid(paths) == {str(path) for number, path in enumerate(paths) if number % 4}


@pytest.mark.parametrize(
    ("verb", "parameters"),
    [
        ("describe", {"hash_parts": ["../../etc/passwd"]}),
        ("describe", {"hash_parts": "x"}),
        ("export", {"paths": ["/etc/passwd"], "compression": "none"}),
        ("export", {"paths": ["/nix/store/../../etc/passwd"], "compression": "none"}),
        ("export", {"paths": [f"/nix/store/{'0' * 32}-absent"], "compression": "none"}),
        ("export", {"paths": [], "compression": "br"}),
    ],
)
async def test_a_host_gives_nothing_but_valid_paths(machine, verb, parameters):
    taken: list[bytes] = []

    async def take(piece):
        taken.append(piece)

    async with await machine.connect() as session:
        with pytest.raises(HostRefused):
            await session.receive(verb, take, **parameters)

    assert taken == []


def test_a_closure_is_sent_to_another_machine(machine, store, top):
    sent: list[StorePath] = []

    pushed = push(store, [top], "ssh://machine", openers={"ssh": machine.open}, on_path=sent.append)
    again = push(store, [top], "ssh://machine", openers={"ssh": machine.open})

    assert set(pushed) == set(sent) == set(store.closure([top]))
    assert again == ()
    assert machine.store.closure([top]) == store.closure([top])
    assert verify(machine.store) == ()


async def test_a_machine_that_can_not_be_reached_is_told(other, top):
    async def refuse():
        raise CacheUnusable("ssh://machine", "nobody answers")

    cache = open_caches(["ssh://machine"], openers={"ssh": lambda location: SshTransport(location, HostPeer(refuse))})

    with pytest.raises(CacheUnusable, match="nobody answers"):
        await cache.substitute(other, top)
    await asyncio.to_thread(cache.close)


def test_without_anything_that_connects_such_an_address_is_refused():
    with pytest.raises(CacheUnusable, match="SSH"):
        open_caches(["ssh://machine"])
