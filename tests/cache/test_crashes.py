"""Whatever kills a process that fills a store or a cache, what is there is whole, and the next one goes on."""

from __future__ import annotations

import os
import random
import shutil
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
    begun = time.monotonic()
    fill(url, tmp_path / "measured", web)
    whole = time.monotonic() - begun
    kills, roots = 0, [tmp_path / "other-0"]

    for _ in range(KILLS):
        if killed(lambda: fill(url, roots[-1], web), whole):
            kills += 1
        else:
            roots.append(tmp_path / f"other-{len(roots)}")
        for root in roots[-2:]:
            assert verify(Store(root)) == (), f"seed {chance}"
            assert all(Store(root).closure([path]) for path in Store(root).database.all_paths())

    assert kills > KILLS // 5
    for root in roots:
        fill(url, root, web)
        other = Store(root)
        collect(other, keep=[*map(str, web)])
        assert verify(other) == ()
        assert set(other.closure(web)) == set(web)
        assert os.listdir(other.layout.aside) == [], f"seed {chance}"


def test_a_cache_that_was_being_filled_is_whole(store, web, url, chance):
    directory, spare = Path(url.removeprefix("file://")), Path(url.removeprefix("file://") + "-spare")
    begun = time.monotonic()
    push(store, web, f"file://{spare}", key=KEY)
    whole, kills = time.monotonic() - begun, 0

    for _ in range(KILLS):
        if killed(lambda: push(Store(store.root), web, url, key=KEY), whole):
            kills += 1
        else:
            shutil.rmtree(directory)
            continue
        described = [NarInfo.parse(file.read_text(), "test") for file in directory.glob("*.narinfo")]
        known = {info.path for info in described}
        for info in described:
            assert known.issuperset(info.references), f"seed {chance}"
            assert (directory / info.url).stat().st_size == info.file_size, f"seed {chance}"

    push(store, web, url, key=KEY)
    assert kills > KILLS // 5
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
            closure = set(map(str, store.closure(wanted)))
            child = os.fork()
            if not child:
                fill(url, other.root, wanted)
                os._exit(int(Store(other.root).valid(closure) != closure))
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
