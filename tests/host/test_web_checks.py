"""Checks over the network, of real servers: TLS, headers, redirects, conversations, metrics."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployer.formats.manifest import Check
from deployer.host.probes import Prober
from deployer.host.readings import Attempt
from tests.host.trickling import trickling


class Web:
    """A web server in a thread that remembers what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.moved: dict[str, tuple[int, str]] = {}
        self.bodies: dict[str, bytes] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                status, location = outer.moved.get(self.path, (200, ""))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("X-Kind", "one")
                self.send_header("X-Kind", "two")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(outer.bodies.get(self.path, b"all is well"))

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that does not like our certificate hangs up."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def certificate(directory: Path, *, days: int, name: str = "www.example.com") -> Path:
    """A file with a key and a certificate for it that begins ten days ago and ends `days` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{days}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Callable[[int], tuple[Web, str]]]:
    """A web server whose certificate expires in so many days, and the file to believe it with."""
    servers: list[Web] = []

    def start(days: int) -> tuple[Web, str]:
        file = certificate(tmp_path, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        servers.append(Web(context))
        return servers[-1], str(file)

    yield start
    for server in servers:
        server.close()


def probe(kind: str, **fields: Any) -> Attempt:
    return Prober().attempt(Check("it", kind, **{"timeout": 5.0, **fields}))


class TestTls:
    """Certificates: whom they are of, who vouches for them, how long they are good."""

    def test_a_certificate_that_expires_soon_is_red_before_it_does(self, secure: Any) -> None:
        server, ca = secure(20)

        assert probe("http", url=server.url, ca=ca, certificate_days=14) == Attempt(True, f"{server.url} answered 200")
        found = probe("http", url=server.url, ca=ca, certificate_days=30)
        assert (found.healthy, "good for 20.0 days, and 30 is the least" in found.message) == (False, True)

    def test_an_expired_certificate_is_refused(self, secure: Any) -> None:
        server, ca = secure(-1)

        assert probe("http", url=server.url, ca=ca) == Attempt(
            False, "the server's certificate is refused: certificate has expired"
        )
        assert probe("http", url=server.url, verify=False).healthy

    def test_nobody_is_believed_but_whom_the_check_names(self, secure: Any) -> None:
        server, _ = secure(20)

        assert "self-signed certificate" in probe("http", url=server.url).message.replace("self signed", "self-signed")
        assert not probe("http", url=server.url, ca="/no/such.pem").healthy
        assert server.asked == []

    def test_the_name_to_present_is_found_in_the_certificate_and_said_to_the_server(self, secure: Any) -> None:
        server, ca = secure(20)

        assert probe("http", url=server.url, ca=ca, server_name="www.example.com").healthy
        assert server.asked[-1][2]["host"] == f"www.example.com:{server.port}"
        found = probe("http", url=server.url, ca=ca, server_name="other.example.com")
        assert "the server's certificate is refused: Hostname mismatch" in found.message

    def test_a_redirect_does_not_lead_from_https_to_http(self, secure: Any, web: Web) -> None:
        server, ca = secure(20)
        server.moved["/"] = (302, f"{web.url}/")

        assert "from https: it is not followed" in probe("http", url=server.url + "/", ca=ca, redirects=3).message
        assert web.asked == []

    def test_a_server_that_is_silent_in_the_handshake_is_not_waited_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}/"

            assert probe("http", url=url, timeout=0.3) == Attempt(False, "no answer within 0.3 s")


class TestRequests:
    """What is sent, and to whom."""

    def test_method_headers_and_body_are_sent(self, web: Web) -> None:
        assert probe("http", url=f"{web.url}/a?b=c", method="POST", send="ping", headers={"X-A": "1", "User-Agent": "me"}).healthy

        method, path, headers, body = web.asked[0]
        assert (method, path, body) == ("POST", "/a?b=c", b"ping")
        assert (headers["x-a"], headers["user-agent"], headers["host"]) == ("1", "me", f"127.0.0.1:{web.port}")
        assert probe("http", url=web.url, method="HEAD").healthy
        assert not probe("http", url=web.url, method="HEAD", body="well").healthy

    def test_a_header_that_comes_twice_has_both_values(self, web: Web) -> None:
        assert probe("http", url=web.url, expect_headers={"X-Kind": "one, two"}).healthy

    def test_redirects_are_followed_as_often_as_allowed(self, web: Web) -> None:
        web.moved = {"/1": (301, "/2"), "/2": (302, f"{web.url}/3")}
        web.bodies["/3"] = b"here"

        assert probe("http", url=f"{web.url}/1", redirects=2, body="here") == Attempt(True, f"{web.url}/3 answered 200")
        assert "answered 302, and 200 is healthy" in probe("http", url=f"{web.url}/1", redirects=1).message
        web.moved = {"/1": (302, "/1")}
        assert not probe("http", url=f"{web.url}/1", redirects=10).healthy

    @pytest.mark.parametrize(
        ("location", "reason"),
        [
            ("file:///etc/passwd", "is no address of the form"),
            ("http://169.254.169.254/latest/", "clouds keep a machine's secrets"),
            ("http://u:p@127.0.0.1/", "is no address of the form"),
        ],
    )
    def test_a_redirect_leads_nowhere_that_a_check_may_not_go(self, web: Web, location: str, reason: str) -> None:
        web.moved["/"] = (302, location)

        assert reason in probe("http", url=f"{web.url}/", redirects=5).message

    def test_what_is_meant_for_one_server_is_not_sent_to_another(self, web: Web) -> None:
        other = Web()
        web.moved["/"] = (302, f"{other.url}/")

        assert probe("http", url=f"{web.url}/", redirects=1, headers={"X-Token": "1"}, server_name="a.example").healthy
        other.close()

        assert web.asked[0][2]["x-token"] == "1"
        assert "x-token" not in other.asked[0][2]
        assert other.asked[0][2]["host"] == f"127.0.0.1:{other.port}"


def conversation(*answers: bytes, greets: bool = False) -> tuple[int, threading.Thread]:
    """A server for one client, that answers in pieces once something has been said, or at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            if not greets:
                client.recv(100)
            for answer in answers:
                client.sendall(answer)
            client.recv(100)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


class TestTcp:
    """Something is said, and something is answered."""

    def test_the_answer_may_come_in_pieces(self) -> None:
        port, thread = conversation(b"+PO", b"NG\r\n")

        assert probe("tcp", port=port, send="PING\r\n", expect="+PONG\r\n").healthy
        thread.join(5)

    def test_a_greeting_needs_no_question(self) -> None:
        port, thread = conversation(b"SSH-2.0-x\r\n", greets=True)

        assert probe("tcp", port=port, pattern=r"^SSH-2\.0-").healthy
        thread.join(5)

    def test_another_answer_and_none_are_red(self) -> None:
        port, thread = conversation(b"-ERR \x1b]0;x\x07no\r\n")
        found = probe("tcp", port=port, send="PING\r\n", expect="+PONG", timeout=0.4)
        assert found == Attempt(False, f"127.0.0.1 port {port} answered without the text '+PONG': -ERR ]0;x no (within 0.4 s)")
        thread.join(5)

        port, thread = conversation()
        assert "said nothing" in probe("tcp", port=port, expect="x", timeout=0.2).message
        thread.join(5)


class TestNoWebServer:
    """What listens is something else."""

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (
                b"SSH-2.0-\x1b]0;x\r\n",
                "does not speak HTTP: its answer begins 'SSH-2.0- ]0;x', and not as 'HTTP/1.1 200 OK' does",
            ),
            (b"HTTP/1.1 fine\r\n", "does not speak HTTP: its answer begins 'HTTP/1.1 fine', and not as 'HTTP/1.1 200 OK' does"),
            (b"HTTP/2 200\r\n\r\n", "speaks 'HTTP/2', and HTTP/1.1 was expected"),
            (b"", "closed the connection without an answer"),
        ],
    )
    def test_what_came_and_what_was_expected_are_told(self, answer: bytes, words: str) -> None:
        port, thread = conversation(answer)

        # The server reads twice up to 100 bytes: all of the question.
        found = probe("http", url=f"http://127.0.0.1:{port}/", headers={"X-Long": "x" * 50})

        assert found == Attempt(False, f"the server {words}")
        thread.join(5)

    def test_an_answer_with_headers_without_end_is_told_as_such(self) -> None:
        port, thread = conversation(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n")

        found = probe("http", url=f"http://127.0.0.1:{port}/")

        assert found == Attempt(False, "the server's answer is no good HTTP: got more than 100 headers")
        thread.join(5)

    def test_a_server_without_tls_is_told_as_such(self) -> None:
        port, thread = conversation(b"SSH-2.0-x\r\n")

        found = probe("http", url=f"https://127.0.0.1:{port}/")

        assert found == Attempt(False, "the server does not speak TLS: its answer is no part of a handshake")
        thread.join(5)


class TestPrometheus:
    """A query of a server that answers as Prometheus does."""

    def test_the_query_is_sent_as_it_is_written(self, web: Web) -> None:
        query = 'rate(errors{code=~"5.."}[5m]) > 0'
        value = {"metric": {}, "value": [1, "0.5"]}
        path = "/prom/api/v1/query?query=rate%28errors%7Bcode%3D~%225..%22%7D%5B5m%5D%29%20%3E%200"
        web.bodies[path] = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [value]}}).encode()

        found = probe("prometheus", url=f"{web.url}/prom/", query=query, comparison="< 1")

        assert found == Attempt(True, "the query gives 0.5")
        assert not probe("prometheus", url=f"{web.url}/prom", query=query, comparison="< 0.5").healthy

    def test_a_server_that_is_away_or_unwilling_is_inconclusive(self, web: Web) -> None:
        web.moved["/api/v1/query?query=up"] = (503, "")
        for url in (web.url, "http://127.0.0.1:1"):
            ask: dict[str, Any] = {"url": url, "query": "up", "comparison": "> 0"}
            found = probe("prometheus", **ask)
            assert (found.healthy, found.message.split(":")[0]) == (False, "inconclusive")
            assert probe("prometheus", **ask, inconclusive="green").healthy


def test_headers_that_trickle_in_are_cut_off() -> None:
    with trickling(b"HTTP/1.1 200 OK\r\nX: ") as url:
        found = probe("http", url=url, timeout=0.4)

    assert found == Attempt(False, "no answer within 0.4 s")
