"""An index of Python packages on the loopback interface, in both forms of the simple API, so that no other is asked."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class PythonIndex:
    """What is in it, and what was asked of it."""

    url: str = ""
    """Ends in `/simple`."""
    files: dict[str, bytes] = field(default_factory=dict)
    as_html: bool = False
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """More of what is said of a file by its name: `requires-python`, `hashes`, `size`, `url`."""
    asked: list[str] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    """Statuses that a path is answered with before it is served."""

    def add(self, file: Path, **told: Any) -> str:
        """Have a file. Returns its sha256."""
        self.files[file.name] = file.read_bytes()
        self.told[file.name] = {name.replace("_", "-"): value for name, value in told.items()}
        return hashlib.sha256(self.files[file.name]).hexdigest()

    def page(self, project: str) -> tuple[str, bytes] | None:
        """Kind and content of the page of a project."""
        names = [name for name in self.files if canonicalize_name(re.split(r"-\d", name)[0]) == project]
        if not names:
            return None
        entries: list[dict[str, Any]] = [
            {
                "filename": name,
                "url": f"../../files/{name}",
                "hashes": {"sha256": hashlib.sha256(self.files[name]).hexdigest()},
                "size": len(self.files[name]),
                **self.told[name],
            }
            for name in names
        ]
        if not self.as_html:
            document = {"meta": {"api-version": "1.1"}, "name": project, "files": entries}
            return JSON, json.dumps(document).encode()
        links = "".join(
            f'<a href="{entry["url"]}#sha256={entry["hashes"].get("sha256", "")}"'
            f' data-requires-python="{entry.get("requires-python", "").replace(">", "&gt;")}">{entry["filename"]}</a><br/>\n'
            for entry in entries
        )
        return "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


@contextmanager
def serving(index: PythonIndex) -> Iterator[PythonIndex]:
    """The index, with its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, *, with_body: bool) -> None:
            index.asked.append(self.path)
            top, *rest = self.path.strip("/").split("/")
            kind, body = "application/octet-stream", index.files.get(rest[-1]) if top == "files" else None
            if top == "simple" and (page := index.page(rest[0])) is not None:
                kind, body = page
            status = 404 if body is None else 200
            if index.answers.get(self.path):
                status, body = index.answers[self.path].pop(0), b""
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if with_body:
                self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    index.url = f"http://127.0.0.1:{http.server_port}/simple"
    try:
        yield index
    finally:
        http.shutdown()
        http.server_close()
