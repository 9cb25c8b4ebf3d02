"""Fetching: verification, retries, mirrors, limits. Over loopback and file:// only."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from deployer.build.errors import HashMismatch
from deployer.build.fetch import Fetch
from deployer.build.limits import FetchLimits
from deployer.build.source_errors import FetchFailed

CONTENT = b"hello" * 1000
DIGEST = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            failing = self.path.startswith("/flaky") and asked.count(self.path) < 3
            status = 503 if failing else 404 if self.path.startswith("/missing") else 200
            self.send_response(status)
            body = CONTENT if status == 200 else b""
            self.send_header("Content-Length", str(len(body) + (10 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield SimpleNamespace(asked=asked, url=f"http://127.0.0.1:{http.server_port}")
    http.shutdown()
    http.server_close()


def fetch(tmp_path, url, *, digest=DIGEST, mirrors=None, size=1 << 20):
    progress = []
    limits = FetchLimits(size=size, timeout=5, first_wait=0.001)
    Fetch(
        url, tmp_path / "file", "sha256", digest, mirrors or {}, limits, lambda *event: progress.append(event), threading.Event()
    ).run()
    return (tmp_path / "file").read_bytes(), progress


def test_a_file_comes_over_http_and_tells_how_far_it_is(tmp_path, server):
    content, progress = fetch(tmp_path, f"{server.url}/a")

    assert content == CONTENT
    assert progress[-1] == (f"{server.url}/a", len(CONTENT), len(CONTENT))


def test_a_file_comes_from_the_disk(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)

    assert fetch(tmp_path, f"file://{tmp_path}/source")[0] == CONTENT


def test_trouble_of_the_network_is_tried_again(tmp_path, server):
    assert fetch(tmp_path, f"{server.url}/flaky")[0] == CONTENT
    assert server.asked == ["/flaky"] * 3


@pytest.mark.parametrize(("path", "times"), [("/missing", 1), ("/short", 4)])
def test_what_cannot_be_fetched_is_told_with_the_reason(tmp_path, server, path, times):
    with pytest.raises(FetchFailed):
        fetch(tmp_path, server.url + path)

    assert len(server.asked) == times


def test_a_wrong_hash_is_told_with_both(tmp_path, server):
    with pytest.raises(HashMismatch) as caught:
        fetch(tmp_path, f"{server.url}/a", digest=bytes(32))

    assert caught.value.expected == "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert caught.value.found.startswith("sha256-")
    assert len(server.asked) == 1


def test_a_file_that_is_too_long_is_refused(tmp_path, server):
    with pytest.raises(FetchFailed, match="longer than 100 bytes"):
        fetch(tmp_path, f"{server.url}/a", size=100)


def test_mirrors_are_asked_in_turn(tmp_path, server):
    mirrors = {"debian": (f"{server.url}/missing/", f"{server.url}/second")}

    content, _ = fetch(tmp_path, "mirror://debian/pool/x_1+2~3.deb", mirrors=mirrors)

    assert content == CONTENT
    assert server.asked == ["/missing/pool/x_1+2~3.deb", "/second/pool/x_1+2~3.deb"]


@pytest.mark.parametrize("url", ["gopher://127.0.0.1/", "mirror://debian/x", "file:///nowhere/at/all"])
def test_what_is_not_there_is_no_reason_to_wait(tmp_path, url):
    with pytest.raises(FetchFailed):
        fetch(tmp_path, url)
