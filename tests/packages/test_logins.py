"""Passwords of a netrc file: sent to the server that they are for, and to no other."""

from __future__ import annotations

import hashlib
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from deployer.build.fetch import Fetch
from deployer.build.limits import FetchLimits
from deployer.build.source_errors import FetchFailed
from deployer.packages import logins
from deployer.packages.errors import PythonIndexFailed
from deployer.packages.logins import LoginsUnreadable, request_to
from deployer.packages.python.simple_index import SimpleIndex

LOGIN = "Basic bWU6c2VjcmV0"  # me:secret
PAGE = b'{"meta": {"api-version": "1.0"}, "files": []}'


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Asks for a password on 127.0.0.1, sends on to localhost, and keeps what was sent to each; nobody has a netrc file yet."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(logins, "_OF_MACHINE", tmp_path / "none")
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            (host, _, port), login = self.headers["Host"].partition(":"), self.headers["Authorization"]
            sent.append((host, self.path, login))
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{port}/open")
            else:
                self.send_response(200 if login == LOGIN or self.path == "/open" else 401)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{http.server_port}", sent=sent, netrc=tmp_path / ".netrc")
    http.shutdown()
    http.server_close()


def fetch(tmp_path, url):
    """Fetch what the server has."""
    digest, limits = hashlib.sha256(PAGE).digest(), FetchLimits(timeout=5, first_wait=0.001)
    Fetch(url, tmp_path / "file", "sha256", digest, {}, limits, lambda *_: None, threading.Event()).run()


def test_files_and_indexes_are_had_with_the_password_of_their_server(server, tmp_path):
    server.netrc.write_text("machine 127.0.0.1 login me password secret\n")

    fetch(tmp_path, f"{server.url}/file")

    assert SimpleIndex(f"{server.url}/simple").files("tool") == ()
    assert server.sent == [("127.0.0.1", "/file", LOGIN), ("127.0.0.1", "/simple/tool/", LOGIN)]


def test_without_it_one_is_told_where_to_write_it(server, tmp_path):
    with pytest.raises(FetchFailed, match=r"answered 401 .*; write the name and the password into ~/\.netrc"):
        fetch(tmp_path, f"{server.url}/file")
    with pytest.raises(PythonIndexFailed, match=r"answered 401 .*~/\.netrc"):
        SimpleIndex(f"{server.url}/simple").files("tool")


def test_it_does_not_go_on_to_where_the_server_redirects_nor_to_servers_that_are_not_named(server, tmp_path):
    server.netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")

    fetch(tmp_path, f"{server.url}/away")

    assert server.sent == [("127.0.0.1", "/away", LOGIN), ("localhost", "/open", None)]


def test_a_file_that_is_no_netrc_is_named_with_the_line(server, tmp_path):
    server.netrc.write_text("machine other login me password secret\nmachine 127.0.0.1 login me password two secret")

    with pytest.raises(LoginsUnreadable, match=r"\.netrc.* line 2") as caught:
        fetch(tmp_path, f"{server.url}/file")

    assert "machine HOST login NAME" in caught.value.remedy
    assert "secret" not in str(caught.value)


def test_files_of_the_disk_need_none(server, tmp_path):
    server.netrc.write_text("rubbish")

    with urllib.request.urlopen(request_to(tmp_path.joinpath(".netrc").as_uri()), timeout=5) as answer:
        assert answer.read() == b"rubbish"
