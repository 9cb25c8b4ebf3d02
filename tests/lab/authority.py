"""An authority that speaks ACME (RFC 8555) in the lab's network, as far as certbot speaks it. It checks what it is shown by each
name for real, and believes every signature of its clients."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


def decoded(text: str) -> bytes:
    """Base 64 as ACME has it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    """The same the other way."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Order:
    """A certificate that somebody wants."""

    names: list[str]
    tokens: list[str]
    shown: list[str]
    """By name: `pending`, `valid`, `invalid`."""
    chain: str = ""

    @property
    def status(self) -> str:
        """As RFC 8555 has it."""
        if self.chain:
            return "valid"
        return "invalid" if "invalid" in self.shown else "ready" if {*self.shown} == {"valid"} else "pending"


@dataclass
class Authority:
    """What it has given, and to whom."""

    address: str
    """Where all names lead to: there is no DNS in the lab."""
    days: int = 90
    """For which its certificates are good."""
    orders: list[Order] = field(default_factory=list)
    thumbprint: str = ""
    """Of the last account's key."""
    url: str = ""

    def __post_init__(self) -> None:
        """A key of its own."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the lab")])

    def answer(self, path: str, document: Mapping[str, Any], key: Mapping[str, str]) -> tuple[int, Any, str]:
        """Status, document or text, and location."""
        what, *numbers = path.strip("/").split("/")
        order = self.orders[int(numbers[0])] if numbers and what != "account" else None
        if what == "account":
            canonical = json.dumps(dict(sorted(key.items())), separators=(",", ":"))
            self.thumbprint = encoded(hashlib.sha256(canonical.encode()).digest())
            return 201, {"status": "valid"}, "/account/1"
        if what == "new-order":
            names = [one["value"] for one in document["identifiers"]]
            self.orders.append(Order(names, [secrets.token_urlsafe(16) for _ in names], ["pending" for _ in names]))
            return 201, self._order(len(self.orders) - 1), f"/order/{len(self.orders) - 1}"
        assert order is not None
        if what == "challenge":
            order.shown[int(numbers[1])] = self._looks(order.names[int(numbers[1])], order.tokens[int(numbers[1])])
            return 200, self._challenge(*map(int, numbers)), ""
        if what == "authorization":
            number, at = map(int, numbers)
            identifier = {"type": "dns", "value": order.names[at]}
            return 200, {"status": order.shown[at], "identifier": identifier, "challenges": [self._challenge(number, at)]}, ""
        if what == "finalize":
            order.chain = self._signed(x509.load_der_x509_csr(decoded(document["csr"])), order.names)
        if what == "certificate":
            return 200, order.chain, ""
        return 200, self._order(int(numbers[0])), f"/order/{numbers[0]}"

    def directory(self) -> dict[str, str]:
        """Where what is."""
        places = {"newNonce": "nonce", "newAccount": "account", "newOrder": "new-order", "revokeCert": "no", "keyChange": "no"}
        return {name: f"{self.url}/{place}" for name, place in places.items()}

    def _order(self, number: int) -> dict[str, Any]:
        order = self.orders[number]
        return {
            "status": order.status,
            "identifiers": [{"type": "dns", "value": name} for name in order.names],
            "authorizations": [f"{self.url}/authorization/{number}/{at}" for at in range(len(order.names))],
            "finalize": f"{self.url}/finalize/{number}",
            **({"certificate": f"{self.url}/certificate/{number}"} if order.chain else {}),
        }

    def _challenge(self, number: int, at: int) -> dict[str, Any]:
        order, url = self.orders[number], f"{self.url}/challenge/{number}/{at}"
        error = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "it is not shown"}
        found = {"type": "http-01", "url": url, "token": order.tokens[at], "status": order.shown[at]}
        return found | ({"error": error} if order.shown[at] == "invalid" else {})

    def _looks(self, name: str, token: str) -> str:
        place = f"http://{self.address}/.well-known/acme-challenge/{token}"
        request = urllib.request.Request(place, headers={"Host": name})
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            return "valid" if answer.read().decode().strip() == f"{token}.{self.thumbprint}" else "invalid"
        return "invalid"

    def _signed(self, request: x509.CertificateSigningRequest, names: list[str]) -> str:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(self._name, x509.Name([]), request.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=self.days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        # certbot wants a chain, and looks at no signature of it.
        return made.public_bytes(Encoding.PEM).decode() * 2


@contextlib.contextmanager
def authority(bind: str, address: str) -> Iterator[Authority]:
    """One that listens at `bind`, for the time of the block."""
    made = Authority(address)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send(200, {})

        def do_GET(self) -> None:
            self._send(200, made.directory() if self.path == "/directory" else {})

        def do_POST(self) -> None:
            signed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            payload, key = decoded(signed["payload"]), json.loads(decoded(signed["protected"])).get("jwk", {})
            self._send(*made.answer(self.path, json.loads(payload) if payload else {}, key))

        def _send(self, status: int, document: Any, location: str = "") -> None:
            body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Replay-Nonce", secrets.token_urlsafe(12))
            if self.path.startswith("/challenge/"):
                self.send_header("Link", f'<{made.url}{self.path.replace("challenge", "authorization")}>;rel="up"')
            if location:
                self.send_header("Location", made.url + location)
            kind = "application/pem-certificate-chain" if isinstance(document, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests say what they see."""

    with ThreadingHTTPServer((bind, 0), Handler) as server:
        made.url = f"http://{bind}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
