"""What goes to a cache, in which order, and how little of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from deployer.cache import CacheUnusable, SecretKey, push
from deployer.cache.keys import signers
from deployer.cache.memory import Memory
from deployer.cache.transports.file import FileTransport
from deployer.formats import StorePath
from deployer.formats.narinfo import NarInfo
from tests.cache.world import BIG, KEY, built, described


class Recorder(FileTransport):
    """A directory that remembers what was done to it, and can fail."""

    def __init__(self, location, *, fails=lambda name: False):
        super().__init__(location)
        self.did, self._fails, self._lock = [], fails, threading.Lock()

    def has(self, name):
        with self._lock:
            self.did.append(("has", name))
        return super().has(name)

    def put(self, name, source):
        if self._fails(name):
            raise CacheUnusable(self.url, "the disk is full")
        super().put(name, source)
        with self._lock:
            self.did.append(("put", name))


@pytest.fixture
def recorded():
    """How to push to a recorder, and those that were pushed to."""
    recorders: list[Recorder] = []

    def opener(location, **options):
        recorders.append(Recorder(location, **options))
        return recorders[-1]

    return opener, recorders


@pytest.fixture
def web(store):
    """Forty paths, most of which refer to several others."""
    paths: list[StorePath] = []
    for number in range(40):
        references = [path for at, path in enumerate(paths) if number % (at + 2) == 0]
        paths.append(built(store, f"web-{number}", os.urandom(2000), references))
    return paths


def puts(recorder):
    return [name for verb, name in recorder.did if verb == "put"]


def test_nothing_is_described_before_its_archive_and_what_it_refers_to(store, web, url, recorded):
    opener, recorders = recorded

    pushed = push(store, web, url, openers={"file": opener})

    order = puts(recorders[0])
    place = {name: at for at, name in enumerate(order)}
    assert set(pushed) == set(web)
    for path in web:
        info = NarInfo.parse((Path(url.removeprefix("file://")) / f"{path.hash_part}.narinfo").read_text(), "test")
        at = place[f"{path.hash_part}.narinfo"]
        assert place[info.url] < at
        assert all(place[f"{other.hash_part}.narinfo"] < at for other in info.references)


@pytest.mark.parametrize("kind", ["narinfo", "nar"])
def test_after_a_failure_the_cache_is_whole_and_the_next_push_goes_on(store, web, url, recorded, kind):
    opener, _ = recorded
    calls = iter(range(1000))

    def fails(name):
        return name.startswith("nar/") == (kind == "nar") and name != "nix-cache-info" and next(calls) == 20

    with pytest.raises(CacheUnusable):
        push(store, web, url, openers={"file": lambda location: opener(location, fails=fails)})
    there = {path for path in web if (Path(url.removeprefix("file://")) / f"{path.hash_part}.narinfo").exists()}
    assert set(store.closure(there)) == there

    rest = push(store, web, url, openers={"file": opener})

    assert set(rest) == set(web) - there


def test_what_is_there_costs_one_question_and_no_upload(store, web, url, recorded):
    opener, recorders = recorded
    push(store, web, url)

    assert push(store, web, url, openers={"file": opener}) == ()

    assert sorted(recorders[0].did) == sorted(("has", f"{path.hash_part}.narinfo") for path in web)


def test_equal_archives_are_sent_once(store, url, recorded):
    opener, recorders = recorded
    first, second = built(store, "first", BIG), built(store, "second", BIG)
    push(store, [first], url)

    push(store, [second], url, openers={"file": opener})

    assert puts(recorders[0]) == [f"{second.hash_part}.narinfo"]


def test_registered_signatures_go_along_with_those_of_both_keys(store, top, url, tmp_path):
    registered, named = SecretKey.generate("registered-1"), SecretKey.generate("named-1")
    (tmp_path / "secret").write_text(named.serialize())
    push(store, [top], url, key=registered)
    info = NarInfo.parse(described(tmp_path, top).read_text(), "test")
    store.add_signatures(top, info.signatures)

    push(store, [top], f"file://{tmp_path}/second?secret-key={tmp_path}/secret", key=KEY)

    sent = NarInfo.parse((tmp_path / "second" / f"{top.hash_part}.narinfo").read_text(), "test")
    assert signers(sent, [key.public for key in (KEY, registered, named)]) == {
        key.public.data for key in (KEY, registered, named)
    }


@pytest.mark.nix
def test_listings_and_settings_that_the_address_asks_for_are_those_of_nix(nix, store, top, url, tmp_path):
    push(store, [top], f"{url}?write-nar-listing=true&compression=xz&priority=7&want-mass-query=1", key=KEY)
    nix("nix", "copy", "--from", url, str(top))
    nix("nix", "copy", "--to", f"file://{tmp_path}/theirs-cache?write-nar-listing=1&compression=xz", str(top))

    ours, theirs = tmp_path / "cache", tmp_path / "theirs-cache"
    assert (ours / "nix-cache-info").read_text() == "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 7\n"
    for path in store.closure([top]):
        assert (ours / f"{path.hash_part}.ls").read_bytes() == (theirs / f"{path.hash_part}.ls").read_bytes()


def test_logs_of_builds_go_along(store, url, tmp_path):
    drv = store.add_text("it.drv", b"")
    path = built(store, "it", b"it", deriver=drv)
    log = store.log_directory / "drvs" / drv.base_name[:2] / drv.base_name[2:]
    log.parent.mkdir(parents=True)
    log.write_bytes(b"said\n")

    push(store, [path], url)

    assert (tmp_path / "cache" / "log" / drv.base_name).read_bytes() == b"said\n"


def test_a_path_that_is_damaged_here_is_not_sent(store, top, low, url, tmp_path):
    store.physical(low).unlink()
    store.physical(low).write_bytes(b"other")

    with pytest.raises(CacheUnusable, match="corrupt"):
        push(store, [top], url)

    assert not described(tmp_path, top).exists()


def test_what_was_missing_is_no_longer_remembered_as_missing(store, low, url, tmp_path, recorded):
    class Remote(Recorder):
        is_remote = True

    memory = Memory(tmp_path / "memory")
    memory.remember(url, f"{low.hash_part}.narinfo", None)

    push(store, [low], url, memory=tmp_path / "memory", openers={"file": Remote})

    answer = memory.recall(url, f"{low.hash_part}.narinfo")
    assert answer is not None
    assert answer.body == described(tmp_path, low).read_bytes()
    memory.close()
