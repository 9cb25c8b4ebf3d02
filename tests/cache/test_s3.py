"""A cache in a bucket, on a real S3-compatible server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
import pytest

from deployer.cache import CacheUnusable, push
from deployer.cache.compression import SUFFIXES
from deployer.store import Store, verify
from tests.cache.world import KEY, reader


@pytest.fixture(scope="module")
def endpoint():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    starting = "from moto.server import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", starting, "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    assert server.poll() is None
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


@pytest.fixture
def bucket(endpoint, monkeypatch, tmp_path, request):
    """The address of a bucket of its own."""
    (tmp_path / "credentials").write_text("[other]\naws_access_key_id = a\naws_secret_access_key = b\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"cache-{abs(hash(request.node.name)):x}"
    client = boto3.Session(profile_name="other").client("s3", endpoint_url=endpoint, region_name="eu-west-1")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.close()
    return f"s3://{name}?endpoint={endpoint}&region=eu-west-1&profile=other"


@pytest.mark.parametrize("compression", SUFFIXES)
async def test_a_closure_goes_to_a_bucket_and_comes_back_whole(store, top, bucket, tmp_path, compression):
    assert set(push(store, [top], f"{bucket}&compression={compression}", key=KEY)) == set(store.closure([top]))
    assert push(store, [top], bucket) == ()
    other = Store(tmp_path / "other")

    known = reader(bucket, memory=tmp_path / "memory")
    await known.substitute(other, top)
    known.close()

    assert other.closure([top]) == store.closure([top])
    assert verify(other) == ()


@contextlib.contextmanager
def cutting(endpoint, cuts):
    """A relay that breaks the connections to a server after so many bytes of an answer, one after another."""
    target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))

    class Relay(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(target) as server:
                threading.Thread(target=self.forward, args=(server,), daemon=True).start()
                left = None
                while data := server.recv(1 << 16):
                    if left is None and cuts and len(data) > 20_000:
                        left = cuts.pop(0)
                    if left is not None and len(data) >= left:
                        self.request.sendall(data[:left])
                        self.request.shutdown(socket.SHUT_RDWR)
                        return
                    left = left - len(data) if left is not None else None
                    self.request.sendall(data)

        def forward(self, server):
            with contextlib.suppress(OSError):
                while data := self.request.recv(1 << 16):
                    server.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{relay.server_address[1]}"
        relay.shutdown()


async def test_a_download_that_is_cut_goes_on_where_it_ended(store, top, bucket, tmp_path, endpoint):
    push(store, [top], f"{bucket}&compression=none", key=KEY)
    other, cuts = Store(tmp_path / "other"), [150_000, 200_000]

    with cutting(endpoint, cuts) as relay:
        known = reader(bucket.replace(endpoint, relay))
        await known.substitute(other, top)
        known.close()

    assert cuts == []
    assert verify(other) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("s3://cache-", "s3://no-cache-"), "nix-cache-info|NoSuchBucket"),
        (("profile=other", "profile=nobody"), "nobody"),
        (("http://127.0.0.1", "http://127.0.0.1:1/"), "connect|endpoint"),
    ],
)
async def test_a_bucket_that_can_not_be_used_is_told(store, top, bucket, tmp_path, change, words):
    with pytest.raises(CacheUnusable, match=words):
        await reader(bucket.replace(*change)).substitute(Store(tmp_path / "other"), top)
    with pytest.raises(CacheUnusable):
        push(store, [top], bucket.replace(*change))
