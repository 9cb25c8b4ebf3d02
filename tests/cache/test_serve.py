"""A store as a cache over HTTP: for us, for Nix, and for those who mean ill."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from deployer.cache import serve
from deployer.cache.compression import SUFFIXES
from deployer.cache.serve import CacheServer
from deployer.formats import StorePath
from deployer.store import Store, verify
from tests.cache.world import BIG, KEY, built, reader


@contextmanager
def serving(store, **options):
    with CacheServer(store, **{"keys": [KEY], **options}) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            server.shutdown()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, answer


@pytest.fixture
def tree(store, tmp_path, top):
    """A directory with everything that a NAR can hold."""
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "run").write_text("#!/bin/sh\n")
    (source / "bin" / "run").chmod(0o755)
    (source / "big").write_bytes(BIG)
    (source / "ümlaut").symlink_to("bin/run")
    return store.add_tree("tree", source)


@pytest.mark.parametrize("compression", SUFFIXES)
async def test_what_is_served_fills_another_store(store, top, tree, tmp_path, compression):
    other = Store(tmp_path / "other")

    with serving(store, compression=compression) as server:
        cache = reader(server.url)
        for path in (top, tree):
            await cache.substitute(other, path)
        cache.close()

    assert other.closure([top, tree]) == store.closure([top, tree])
    assert verify(other) == ()


@pytest.mark.nix
@pytest.mark.parametrize("compression", SUFFIXES)
def test_nix_takes_paths_that_are_served(nix, store, top, tree, compression):
    with serving(store, compression=compression) as server:
        nix("nix", "copy", "--from", server.url, str(top))
        nix("nix-store", "-r", str(tree), "--option", "substituters", server.url)

    assert nix("nix-store", "-q", "--hash", str(top), str(tree)).splitlines() == [
        store.query(path).nar_hash for path in (top, tree)
    ]
    assert nix("nix-store", "--verify", "--check-contents") == ""


@pytest.mark.nix
def test_listings_and_logs_are_those_of_nix(nix, store, tree, top, tmp_path):
    drv = store.add_text("build.drv", b'Derive([("out","%s","","")],[],[],"x","y",[],[])' % str(top).encode())
    log = store.log_directory / "drvs" / drv.base_name[:2] / drv.base_name[2:]
    log.parent.mkdir(parents=True)
    log.write_bytes(b"it was built\n")

    with serving(store) as server:
        nix("nix", "copy", "--from", server.url, str(tree))
        nix("nix", "copy", "--to", f"file://{tmp_path}/cache?write-nar-listing=1", str(tree))
        listing = ask(server, f"/{tree.hash_part}.ls")[1]
        assert ask(server, f"/log/{drv.base_name}")[1] == b"it was built\n"
        assert nix("nix", "log", "--store", server.url, str(drv)) == "it was built"

    assert listing == (tmp_path / "cache" / f"{tree.hash_part}.ls").read_bytes()


HOSTILE = [
    "/../../../etc/passwd",
    "/nar/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/log/../../db.sqlite",
    "/log/%2e%2e%2fdb.sqlite",
    "/log/..%00.drv",
    "/log/" + "a" * 40 + ".drv",
    "/log/0abcdfghijklmnpqrsvwxyz012345678-x.drv/../y.drv",
    "//etc/passwd",
    "/",
    "/x.narinfo",
    "/" + "0" * 32 + ".narinfo",
    "/" + "0" * 31 + "%.narinfo",
    "/nar/" + "0" * 32 + "-" + "0" * 52 + ".nar",
    "http://127.0.0.1/etc/passwd",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_what_is_no_file_of_a_cache_is_not_found(store, top, path):
    with serving(store) as server:
        assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET /nix-cache-info HTTP/9\r\n\r\n",
        b"PUT /x.narinfo HTTP/1.1\r\nContent-Length: 4\r\n\r\nevil",
        b"DELETE /nix-cache-info HTTP/1.1\r\n\r\n",
        b"GET /nix-cache-info HTTP/1.1\r\nContent-Length: 40\r\n\r\nGET /nix-cache-info HTTP/1.1\r\n\r\n",
        b"GET /nix-cache-info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_a_malformed_request_is_refused_and_the_next_one_served(store, top, request_bytes):
    with serving(store) as server:
        with socket.create_connection(server.server_address[:2], timeout=5) as connection:
            connection.sendall(request_bytes)
            answer = b""
            try:
                while piece := connection.recv(1 << 16):
                    answer += piece
            except ConnectionError:
                pass

        assert b" 200 " not in answer
        assert answer.count(b"HTTP/1.1 ") <= 1
        assert ask(server, "/nix-cache-info")[0] == 200
    assert store.is_valid(top)


def test_one_connection_serves_many_requests_and_heads_have_no_body(store, top):
    with serving(store) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
        connection.connect()
        kept = connection.sock
        for method, path in [
            ("GET", "/nix-cache-info"),
            ("HEAD", f"/{top.hash_part}.narinfo"),
            ("GET", "/absent"),
            ("HEAD", "/x"),
        ]:
            connection.request(method, path)
            answer = connection.getresponse()
            assert bool(answer.read()) == (method == "GET")
            assert connection.sock is kept
        connection.close()


@pytest.mark.parametrize("at", [1, 97, 100_000])
def test_the_rest_of_an_archive_can_be_asked_for(store, top, low, at):
    info = store.query(low)
    path = f"/nar/{low.hash_part}-{info.nar_hash.partition(':')[2]}.nar"

    with serving(store, compression="none") as server:
        whole = ask(server, path)[1]
        status, rest, answer = ask(server, path, Range=f"bytes={at}-")
        other = ask(server, path, **{"Range": f"bytes={at}-", "If-Range": '"other"'})

    assert (status, rest) == (206, whole[at:])
    assert answer.headers["Content-Range"] == f"bytes {at}-{len(whole) - 1}/{len(whole)}"
    assert other[:2] == (200, whole)


def test_who_keeps_connections_open_does_not_shut_out_others_for_long(store, top, monkeypatch):
    monkeypatch.setattr(serve, "_HEAD_TIMEOUT", 0.3)

    with serving(store, connections=2) as server:
        idle = [socket.create_connection(server.server_address[:2]) for _ in range(2)]
        for connection in idle:
            connection.sendall(b"GET /nix")
        deadline = time.monotonic() + 5
        while (status := ask(server, "/nix-cache-info")[0]) == 503 and time.monotonic() < deadline:
            for connection in idle:
                try:
                    connection.sendall(b"-")
                except OSError:
                    pass
            time.sleep(0.05)
        for connection in idle:
            connection.close()

    assert status == 200


def test_a_path_that_is_damaged_while_it_is_sent_does_not_look_whole(store, top, low):
    store.physical(low).unlink()
    path = f"/nar/{low.hash_part}-{store.query(low).nar_hash.partition(':')[2]}.nar.zst"

    with serving(store, compression="zstd") as server, pytest.raises(http.client.HTTPException):
        ask(server, path)


async def test_many_paths_are_described_at_once(store, tmp_path):
    paths = [built(store, f"path-{number}", b"x") for number in range(40)]

    with serving(store) as server:
        cache = reader(server.url)
        held = await cache.held([*paths, StorePath("0" * 32, "absent")])
        cache.close()

    assert list(held) == paths
