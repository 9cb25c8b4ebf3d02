"""A web server over a cache's directory that fails as networks and servers fail."""

from __future__ import annotations

import base64
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Faults:
    """What goes wrong, and what was asked."""

    cuts: list[int] = field(default_factory=list)
    """Bytes of an archive after which its connection breaks, one download after another."""
    ranges: bool = True
    """Whether the rest of an archive can be asked for."""
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """Statuses with which requests for names that end so are answered, one after another, before they are served."""
    login: str = ""
    """`NAME:PASSWORD` that is asked for."""
    asked: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    sent: int = 0
    """Bytes of archives."""
    url: str = ""


@contextmanager
def faulty(directory: Path, **options: object) -> Iterator[Faults]:
    """Serve, as long as the context lasts."""
    faults = Faults(**options)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            faults.connections += 1

        def do_GET(self):
            name = self.path.lstrip("/")
            faults.asked[name] += 1
            wanted = f"Basic {base64.b64encode(faults.login.encode()).decode()}"
            if faults.login and self.headers.get("Authorization") != wanted:
                return self.answer(401, b"")
            for suffix, statuses in faults.refusals.items():
                if name.endswith(suffix) and statuses:
                    return self.answer(statuses.pop(0), b"")
            file = directory / name
            if not file.is_file():
                return self.answer(404, b"")
            data, start = file.read_bytes(), 0
            if faults.ranges and (found := re.fullmatch("bytes=([0-9]+)-", self.headers.get("Range", ""))):
                start = int(found[1])
            return self.answer(206 if start else 200, data[start:], len(data), start)

        do_HEAD = do_GET

        def answer(self, status, body, whole=0, start=0):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            self.end_headers()
            if self.command == "HEAD":
                return
            if faults.cuts and self.path.startswith("/nar/") and len(body) > faults.cuts[0]:
                body = body[: faults.cuts.pop(0)]
                self.close_connection = True
            faults.sent += len(body) if self.path.startswith("/nar/") else 0
            self.wfile.write(body)

        def log_message(self, format, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        faults.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield faults
        finally:
            server.shutdown()
