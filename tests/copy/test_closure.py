"""What a copy sends of a closure, and what arrives."""

from __future__ import annotations

import random

import pytest

from deployer.copy.closure import ClosureSender
from deployer.formats.frames import DATA_KIND, FrameDecoder
from deployer.host import importing
from deployer.store import Store, verify

SHARED = random.Random(1).randbytes(200_000)
"""Nothing makes it smaller."""


class Host:
    """A store that a closure is sent to, and how many bytes came."""

    def __init__(self, store):
        self.store, self.received = store, 0

    async def missing(self, paths, files=()):
        said = importing.missing(self.store, list(paths), list(files))
        return set(said["missing"]), set(said["held"])

    async def compressions(self):
        return ["zlib", "none"]

    async def stream(self, verb, pieces, on_event=None, /, **parameters):
        assert verb == "import"
        came = b"".join([piece async for piece in pieces])
        self.received += len(came)
        content = (frame.payload for frame in FrameDecoder().feed(came) if frame.kind == DATA_KIND)
        importing.import_paths(self.store, parameters["compression"], parameters["paths"], content, lambda _: None)
        return {}


@pytest.fixture
def source(tmp_path):
    """A controller's store."""
    return Store(tmp_path / "source")


@pytest.fixture
def host(tmp_path):
    """A host with an empty store."""
    return Host(Store(tmp_path / "host"))


@pytest.fixture
def system(source, tmp_path):
    """Make a path that refers to two trees, which have a large file in common, and to what all systems have."""

    def make(name, shared):
        trees = [str(source.add_text("runtime", b"of all"))]
        for number in range(2):
            tree = tmp_path / f"{name}-{number}"
            tree.mkdir()
            (tree / "shared").write_bytes(shared)
            (tree / "own").write_text(str(number))
            trees.append(str(source.add_tree(tree.name, tree)))
        return str(source.add_text(name, " ".join(trees).encode(), trees))

    return make


async def send(source, system, host):
    """Copy it; the bytes that it took."""
    before = host.received
    sender = ClosureSender(source)
    try:
        await sender.send(host, system, lambda _path, _size: None)
    finally:
        sender.close()
    assert host.store.is_valid(system)
    assert verify(host.store) == ()
    return host.received - before


@pytest.mark.parametrize("paths_at_once", [1, 2, 200])
async def test_a_file_that_several_paths_have_is_sent_once(source, host, system, monkeypatch, paths_at_once):
    monkeypatch.setattr(importing, "_BATCH_PATHS", paths_at_once)

    took = await send(source, system("system", SHARED), host)

    assert len(SHARED) < took < len(SHARED) * 1.1


async def test_a_file_that_the_host_has_from_an_earlier_copy_is_not_sent(source, host, system):
    first, changed, again = system("first", SHARED), system("changed", SHARED[:-1]), system("again", SHARED)
    await send(source, first, host)

    assert len(SHARED) < await send(source, changed, host) < len(SHARED) * 1.1
    assert await send(source, again, host) < len(SHARED) * 0.1
