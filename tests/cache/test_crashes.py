"""Whatever kills a process that fills a store or a cache, what is there is whole, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from deployer.cache import push
from deployer.formats import StorePath
from deployer.formats.narinfo import NarInfo
from deployer.store import Store, collect, verify
from tests.cache.world import KEY, built, reader

KILLS = int(os.environ.get("DEPLOYER_KILLS", "25"))


def killed(work, latest):
    """Do some work in a process, and kill it at a random instant; whether it was killed before its end."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    time.sleep(random.uniform(0, latest))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.fixture
def chance(request):
    """A seed that is shown where a test fails."""
    seed = random.randrange(1 << 32)
    random.seed(seed)
    request.node.user_properties.append(("seed", seed))
    return seed


@pytest.fixture
def web(store):
    paths: list[StorePath] = []
    for number in range(25):
        content = bytes([number]) * 100_000 if number % 5 else os.urandom(2000)
        paths.append(built(store, f"web-{number}", content, paths[number // 2 : number // 2 + 1]))
    return paths


def test_a_store_that_was_being_filled_is_whole(store, web, url, tmp_path, chance):
    push(store, web, url, key=KEY)
    kills = 0

    for number in range(KILLS):
        other = Store(tmp_path / f"other-{number // 5}")
        kills += killed(lambda root=other.root: fill(url, root, web), 0.25)
        assert verify(Store(other.root)) == (), f"seed {chance}"
        for path in Store(other.root).database.all_paths():
            Store(other.root).closure([path])

    assert kills > KILLS // 4
    for number in range(KILLS // 5):
        other = Store(tmp_path / f"other-{number}")
        fill(url, other.root, web)
        collect(other, keep=web)
        assert verify(other) == ()
        assert set(other.closure(web)) == set(web)
        assert os.listdir(other.layout.aside) == [], f"seed {chance}"


def test_a_cache_that_was_being_filled_is_whole(store, web, url, chance):
    directory = Path(url.removeprefix("file://"))
    kills = 0

    for _ in range(KILLS):
        kills += killed(lambda: push(Store(store.root), web, url, key=KEY), 0.1)
        described = [NarInfo.parse(file.read_text(), "test") for file in directory.glob("*.narinfo")]
        known = {info.path for info in described}
        for info in described:
            assert known.issuperset(info.references), f"seed {chance}"
            assert (directory / info.url).stat().st_size == info.file_size, f"seed {chance}"

    push(store, web, url, key=KEY)
    assert kills > KILLS // 4
    assert {path for path in web if (directory / f"{path.hash_part}.narinfo").exists()} == set(web)


def test_a_collector_takes_nothing_that_is_being_fetched(store, web, url, tmp_path):
    push(store, web, url, key=KEY)
    other = Store(tmp_path / "other")
    fill(url, other.root, web[:2])
    collecting = os.fork()
    if not collecting:
        while True:
            collect(Store(other.root))

    try:
        for number in range(8):
            wanted = random.sample(web, 5)
            child = os.fork()
            if not child:
                fill(url, other.root, wanted)
                os._exit(0 if Store(other.root).valid(store.closure(wanted)) == set(map(str, store.closure(wanted))) else 1)
            assert os.waitpid(child, 0)[1] == 0, (number, wanted)
    finally:
        os.kill(collecting, signal.SIGKILL)
        os.waitpid(collecting, 0)

    assert verify(Store(other.root)) == ()


def fill(url, root, paths):
    import asyncio

    async def all_at_once():
        known = reader(url)
        await asyncio.gather(*(known.substitute(store, path) for path in paths))

    store = Store(root)
    asyncio.run(all_at_once())
