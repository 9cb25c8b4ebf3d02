"""Networks that break, caches that lie, and several who want the same."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import socket
import time

import pytest

from deployer.cache import CacheCorrupt, CacheUnusable, PathNotCached, push
from deployer.cache.memory import Lifetimes, Memory
from deployer.cache.opening import open_caches
from deployer.cache.transports import http
from deployer.formats import StorePath
from deployer.store import Store, verify
from tests.cache.faulty import faulty
from tests.cache.world import BIG, KEY, built, described, reader, redescribe


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Nobody waits between attempts."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture
def cache(store, top, url, tmp_path):
    """A directory with `top` and all that it refers to."""
    push(store, [top], url, key=KEY, compression="none")
    return tmp_path / "cache"


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other")


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_download_that_is_cut_goes_on_where_it_ended(cache, top, low, other, store, ranges):
    with faulty(cache, cuts=[100_000] * 20, ranges=ranges) as faults:
        if ranges:
            await reader(faults.url).substitute(other, top)
        else:
            with pytest.raises(CacheUnusable):
                await reader(faults.url).substitute(other, top)

    size = store.query(low).nar_size + store.query(top).nar_size
    assert (other.is_valid(top), faults.sent == size) == (ranges, ranges)


async def test_a_server_that_sends_all_again_is_read_from_where_it_ended(cache, top, other):
    with faulty(cache, cuts=[100_000, 200_000], ranges=False) as faults:
        await reader(faults.url).substitute(other, top)

    assert verify(other) == ()


@pytest.mark.parametrize("statuses", [[503], [500, 502, 429], [504] * 4])
async def test_what_a_server_refuses_for_a_while_is_asked_again(cache, top, other, statuses):
    with faulty(cache, refusals={".narinfo": [*statuses], "nix-cache-info": [*statuses], ".nar": [*statuses]}) as faults:
        await reader(faults.url).substitute(other, top)

    assert other.is_valid(top)


@pytest.mark.parametrize("status", [400, 401, 418, 503])
async def test_what_a_server_refuses_for_good_is_told(cache, top, other, status):
    with faulty(cache, refusals={"nix-cache-info": [status] * 100}) as faults, pytest.raises(CacheUnusable, match=str(status)):
        await reader(faults.url).substitute(other, top)


async def test_who_does_not_answer_at_all_is_waited_for_once(cache, top, other, monkeypatch):
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.5)
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(3):  # the queue is full: the next one hears nothing
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        begun = time.monotonic()
        caches = open_caches([f"http://127.0.0.1:{silent.getsockname()[1]}", f"file://{cache}"], trusted_keys=[KEY.public])

        await caches.substitute(other, top)

    assert 0.4 < time.monotonic() - begun < 2


async def test_connections_are_kept(store, url, tmp_path):
    paths = [built(store, f"path-{number}", b"x") for number in range(100)]
    push(store, paths, url, key=KEY)
    (tmp_path / "cache" / "nix-cache-info").write_text("StoreDir: /nix/store\nWantMassQuery: 1\n")

    with faulty(tmp_path / "cache") as faults:
        assert len(await reader(faults.url).held(paths)) == 100

    assert faults.asked.total() == 101
    assert faults.connections <= 24


@pytest.mark.parametrize("where", ["address", "netrc"])
async def test_names_and_passwords_come_from_the_address_or_a_netrc_file(cache, top, other, tmp_path, where):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password se:cret\n")

    with faulty(cache, login="me:se:cret") as faults:
        if where == "address":
            known = reader(faults.url.replace("//", "//me:se%3Acret@"))
            assert "cret" not in known.urls[0]
        else:
            known = reader(faults.url, netrc=tmp_path / "netrc")
        await known.substitute(other, top)
        with pytest.raises(CacheUnusable, match="netrc"):
            await reader(faults.url).substitute(Store(tmp_path / "another"), top)

    assert other.is_valid(top)


async def test_a_password_is_not_told_to_another_server(cache, top, other, tmp_path):
    with faulty(cache) as elsewhere, faulty(cache, login="me:secret") as faults:
        elsewhere.login = "me:secret"
        for path in other.closure([]) or [top]:
            redescribe(tmp_path, path, url=f"{elsewhere.url}/nar/x.nar")
        with pytest.raises(CacheUnusable, match="401"):
            await reader(faults.url.replace("//", "//me:secret@")).substitute(other, top)


def spoil(kind, cache, path, tmp_path):
    """Make the cache useless for one path."""
    archive = cache / "nar" / next(line for line in described(tmp_path, path).read_text().splitlines() if "URL" in line)[9:]
    match kind:
        case "changed":
            data = bytearray(archive.read_bytes())
            data[-100] ^= 1
            archive.write_bytes(data)
        case "cut":
            os.truncate(archive, 50)
        case "missing":
            archive.unlink()
        case "empty":
            archive.write_bytes(b"")
        case "undescribed":
            described(tmp_path, path).unlink()
        case "misdescribed":
            described(tmp_path, path).write_text("StorePath: nonsense\n")
        case "unsigned":
            redescribe(tmp_path, path, signatures=())
        case "lying":
            redescribe(tmp_path, path, nar_size=7, file_size=0)


@pytest.mark.parametrize(
    "kind", ["changed", "cut", "missing", "empty", "undescribed", "misdescribed", "unsigned", "lying", "unreachable"]
)
@pytest.mark.parametrize("which", ["top", "low"])
async def test_where_one_cache_fails_the_next_one_gives(cache, store, top, low, other, tmp_path, kind, which):
    push(store, [top], f"file://{tmp_path}/second", key=KEY)
    first = f"file://{cache}"
    if kind == "unreachable":
        first = "http://127.0.0.1:1"
    else:
        spoil(kind, cache, {"top": top, "low": low}[which], tmp_path)
    troubles: list[Exception] = []
    caches = open_caches([first, f"file://{tmp_path}/second"], trusted_keys=[KEY.public], on_trouble=troubles.append)

    assert list(await caches.held([top])) == [top]
    await caches.substitute(other, top)

    assert verify(other) == ()
    assert os.listdir(other.layout.aside) == []
    assert bool(troubles) == (kind not in {"undescribed", "unsigned", "lying"})


async def test_another_cache_may_tell_of_other_references(cache, store, top, low, other, tmp_path):
    """What was built elsewhere under the same name may refer to more."""
    theirs = Store(tmp_path / "theirs")
    lower = built(theirs, "lower", b"lower")
    built(theirs, "low", BIG + b"!", [lower])
    assert built(theirs, "top", b"", [low]) == top
    push(theirs, [top], f"file://{tmp_path}/second", key=KEY)
    spoil("changed", cache, low, tmp_path)

    await open_caches([f"file://{cache}", f"file://{tmp_path}/second"], trusted_keys=[KEY.public]).substitute(other, top)

    assert [str(path) for path in other.closure([top])] == [str(lower), str(low), str(top)]


async def test_the_priority_decides_and_the_address_goes_before_the_cache(cache, store, top, other, tmp_path):
    push(store, [top], f"file://{tmp_path}/second?priority=10", key=KEY)
    first, second = f"file://{cache}", f"file://{tmp_path}/second"
    asked: list[str] = []

    for urls in ([first, second], [f"{first}?priority=5", second], [first, f"{second}?priority=60"]):
        fetched = Store(tmp_path / f"fetched-{len(asked)}")
        caches = open_caches(urls, trusted_keys=[KEY.public], on_fetched=lambda url, path, size: asked.append(url))
        await caches.substitute(fetched, top)

    assert asked == [second] * 2 + [first] * 4


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://x", "scheme"),
        ("file:///x?priorty=3", "did you mean 'priority'"),
        ("file:///x?priority=low", "it is a number"),
        ("file:///x?trusted=maybe", "true or false"),
        ("http://x?compression=br", "one of none"),
        ("http://x?endpoint=y", "no parameter"),
    ],
)
def test_an_address_that_means_nothing_is_refused(url, words):
    with pytest.raises(CacheUnusable, match=words):
        open_caches([url])


async def test_what_no_cache_has_is_told(cache, other, tmp_path):
    with pytest.raises(PathNotCached):
        await reader(f"file://{cache}").substitute(other, StorePath("0" * 32, "absent"))


async def test_paths_that_refer_to_each_other_are_refused(cache, top, low, other, tmp_path):
    redescribe(tmp_path, low, references=(top,))

    with pytest.raises(CacheCorrupt, match="refers to it"):
        await reader(f"file://{cache}", check=False).substitute(other, top)


async def test_answers_are_remembered_between_runs_until_they_are_old(cache, store, top, tmp_path):
    absent, now = StorePath("0" * 32, "absent"), [1000.0]

    with faulty(cache) as faults:

        async def ask():
            known = reader(faults.url, memory=tmp_path / "memory")
            before = faults.asked.total()
            assert list(await known.held([top, absent])) == [top]
            known.close()
            return faults.asked.total() - before

        assert [await ask(), await ask()] == [4, 0]
        memory = Memory(tmp_path / "memory", Lifetimes(), clock=lambda: now[0])
        memory.remember("c", "present.narinfo", b"text")
        memory.remember("c", "absent.narinfo", None)
        memory.remember("c", "nix-cache-info", b"text")
        found = []
        for age in (3599, 3601, 7 * 86400 + 1, 30 * 86400 + 1):
            now[0] = 1000.0 + age
            found.append(
                [memory.recall("c", name) is not None for name in ("absent.narinfo", "nix-cache-info", "present.narinfo")]
            )
        memory.close()

    assert found == [[True] * 3, [False, True, True], [False, False, True], [False] * 3]


async def test_an_archive_that_is_gone_is_looked_for_anew(cache, store, top, low, other, tmp_path):
    with faulty(cache) as faults:
        await reader(faults.url, memory=tmp_path / "memory").held([top])
        spoil("missing", cache, low, tmp_path)
        known = reader(faults.url, memory=tmp_path / "memory")
        with pytest.raises(CacheCorrupt, match="missing"):
            await known.substitute(other, top)
        described(tmp_path, low).unlink()
        push(store, [top], f"file://{cache}", key=KEY, compression="zstd")

        await reader(faults.url, memory=tmp_path / "memory").substitute(other, top)

    assert other.is_valid(top)


async def test_a_memory_that_is_no_database_is_no_obstacle(cache, top, other, tmp_path):
    (tmp_path / "memory").write_bytes(b"nonsense" * 1000)

    with faulty(cache) as faults:
        await reader(faults.url, memory=tmp_path / "memory").substitute(other, top)

    assert other.is_valid(top)


def web_of(store, count):
    chance = random.Random(count)
    paths: list[StorePath] = []
    for number in range(count):
        references = chance.sample(paths, min(len(paths), chance.randrange(4)))
        paths.append(built(store, f"web-{number}", chance.randbytes(chance.randrange(1, 5000)), references))
    return paths


def fill(url, root, paths, key):
    """One process of several."""

    async def all_at_once():
        known = reader(url, trusted_keys=[key])
        await asyncio.gather(*(known.substitute(store, path) for path in paths))

    store = Store(root)
    asyncio.run(all_at_once())


def test_each_path_is_fetched_once_however_many_ask(store, url, tmp_path):
    paths = web_of(store, 60)
    push(store, paths, url, key=KEY)

    with faulty(tmp_path / "cache") as faults:
        spawn = multiprocessing.get_context("spawn")
        arguments = (faults.url, tmp_path / "other", paths, str(KEY.public))
        processes = [spawn.Process(target=fill, args=arguments) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)

    other = Store(tmp_path / "other")
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert verify(other) == ()
    assert len(other.database.all_paths()) == 60
    assert {count for name, count in faults.asked.items() if name.startswith("nar/")} == {1}


async def test_who_gives_up_leaves_nothing_and_takes_nothing_from_others(store, url, tmp_path):
    paths = web_of(store, 30)
    push(store, paths, url, key=KEY)
    known, other = reader(url), Store(tmp_path / "other")
    for pause in (0.0, 0.002, 0.01, 0.05):
        task = asyncio.create_task(known.substitute(other, paths[-1]))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, known.substitute(other, paths[-2]), return_exceptions=True)
        assert other.is_valid(paths[-2])

    await known.substitute(other, paths[-1])
    await asyncio.sleep(0.1)

    assert verify(other) == ()
    assert os.listdir(other.layout.aside) == []
