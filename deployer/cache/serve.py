"""A store served over HTTP as a binary cache, to us and to Nix. It is read only, and what it sends is made while it is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote

from deployer.cache.compression import SUFFIXES, Compressor
from deployer.cache.describing import describe, listing, signed
from deployer.cache.errors import CacheUnusable
from deployer.cache.keys import SecretKey
from deployer.cache.logs import read_log
from deployer.cache.transports import content_type
from deployer.errors import DeployerError
from deployer.formats import StorePath, StorePathRefused
from deployer.store import PathInfo, Store

PRIORITY: Final = 30
"""Before the public cache's 40: a cache nearby is asked first."""
_CONNECTIONS: Final = 64
_HEAD_TIMEOUT: Final = 15.0
"""Seconds in which a request must have arrived, and for which a connection may be idle."""
_STALL: Final = 60.0
"""Seconds for which a client may take nothing of what it asked for."""
_DIGITS: Final = "[0-9abcdfghijklmnpqrsvwxyz]"
_NARINFO: Final = re.compile(f"/({_DIGITS}{{32}})\\.narinfo")
_LISTING: Final = re.compile(f"/({_DIGITS}{{32}})\\.ls")
_ARCHIVE: Final = re.compile(f"/nar/({_DIGITS}{{32}})-({_DIGITS}{{52}})\\.nar(\\.xz|\\.zst|)")
_LOG: Final = re.compile("/log/([^/]+\\.drv)")
_FAST: Final = {"zstd": 3, "xz": 1}
"""Levels: who waits for what is packed while it is sent would rather have it soon."""


class CacheServer(ThreadingHTTPServer):
    """Serves until `shutdown`. Use as a context."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        store: Store,
        address: tuple[str, int] = ("127.0.0.1", 0),
        *,
        keys: Sequence[SecretKey] = (),
        compression: str = "zstd",
        priority: int = PRIORITY,
        connections: int = _CONNECTIONS,
        on_request: Callable[[str, int], None] = lambda line, status: None,
    ) -> None:
        """Port 0: any that is free. What is served is signed by all of `keys`. Raises `CacheUnusable`."""
        self.store, self.keys, self.compression, self.priority = store, tuple(keys), compression, priority
        self.on_request = on_request
        self._free = threading.BoundedSemaphore(connections)
        self._arriving: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise CacheUnusable(f"http://{address[0]}:{address[1]}", str(error)) from None

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host, port = self.server_address[0], self.server_address[1]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; where there are too many, tell the client to come again."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def service_actions(self) -> None:
        """End connections whose request does not arrive, however slowly they keep sending it."""
        late = time.monotonic() - _HEAD_TIMEOUT
        for connection, since in list(self._arriving.items()):
            if since < late:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's concern."""

    def awaits_request(self, connection: socket.socket) -> None:
        """From now on, a connection's next request must arrive."""
        self._arriving[connection] = time.monotonic()

    def has_request(self, connection: socket.socket) -> None:
        """It has arrived, or will never."""
        self._arriving.pop(connection, None)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: CacheServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "deployer", ""
    timeout = _STALL
    wbufsize = 1 << 16

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            # Nothing that we answer has a body: what follows would be read as the next request.
            self.close_connection = True
            self.send_error(400)
            return False
        return True

    def handle_one_request(self) -> None:
        self.connection.settimeout(_HEAD_TIMEOUT)
        self.server.awaits_request(self.connection)
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            self.server.has_request(self.connection)

    def do_GET(self) -> None:
        self.server.has_request(self.connection)
        self.connection.settimeout(_STALL)
        self._is_chunked = False
        try:
            self._answer(unquote(self.path.partition("?")[0], errors="replace"))
        except (DeployerError, OSError):
            # What was promised can't be sent any more: the client must not take what it has for the whole.
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.server.on_request(self.requestline, int(code))

    def log_error(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, path: str) -> None:
        if path == "/nix-cache-info":
            settings = f"StoreDir: {self.server.store.store_dir}\nWantMassQuery: 1\nPriority: {self.server.priority}\n"
            self._send(settings.encode(), "nix-cache-info")
        elif found := _NARINFO.fullmatch(path):
            self._narinfo(found[1])
        elif found := _LISTING.fullmatch(path):
            info = self._find(found[1])
            self._send(listing(self.server.store, self._path(info)) if info else None, path)
        elif found := _ARCHIVE.fullmatch(path):
            self._archive(found[1], found[2], found[3])
        elif found := _LOG.fullmatch(path):
            self._send(self._log(found[1]), path)
        else:
            self._send(None, path)

    def _narinfo(self, hash_part: str) -> None:
        info = self._find(hash_part)
        if info is None:
            self._send(None, "")
            return
        compression = self.server.compression
        nar_hash = info.nar_hash.partition(":")[2]
        url = f"nar/{hash_part}-{nar_hash}.nar{SUFFIXES[compression]}"
        known = {"file_hash": info.nar_hash, "file_size": info.nar_size} if compression == "none" else {}
        found = describe(info, self._path(info), url, compression, **known)  # type: ignore[arg-type]
        found = dataclasses.replace(found, signatures=signed(found, self.server.keys))
        self._send(found.serialize().encode(), ".narinfo")

    def _archive(self, hash_part: str, nar_hash: str, suffix: str) -> None:
        info = self._find(hash_part)
        if info is None or info.nar_hash != f"sha256:{nar_hash}":
            self._send(None, "")
            return
        compression = next(name for name, its in SUFFIXES.items() if its == suffix)
        skipped = self._skipped(info, f'"{nar_hash}"') if compression == "none" else 0
        self.send_response(206 if skipped else 200)
        self.send_header("Content-Type", "application/x-nix-nar")
        if compression == "none":
            self.send_header("ETag", f'"{nar_hash}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(info.nar_size - skipped))
            if skipped:
                self.send_header("Content-Range", f"bytes {skipped}-{info.nar_size - 1}/{info.nar_size}")
        elif self.request_version == "HTTP/1.0":
            self.close_connection = True
        else:
            self._is_chunked = True
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "GET":
            self._stream(info, compression, skipped)

    def _stream(self, info: PathInfo, compression: str, skipped: int) -> None:
        compressor = Compressor(compression, _Body(self), level=_FAST.get(compression))
        left = skipped

        def write(data: bytes) -> None:
            nonlocal left
            if left < len(data):
                compressor.write(data[left:] if left else data)
            left -= min(left, len(data))

        self.server.store.write_nar(info.path, write)
        compressor.finish()
        if self._is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _skipped(self, info: PathInfo, etag: str) -> int:
        """The bytes that the client has already; 0 where it wants all, or something that we don't serve."""
        found = re.fullmatch(r"bytes=([0-9]{1,18})-", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range", etag) == etag
        return at if found and is_same and (at := int(found[1])) < info.nar_size else 0

    def _log(self, name: str) -> bytes | None:
        try:
            return read_log(self.server.store, StorePath.parse_base(name, self.server.store.store_dir))
        except StorePathRefused:
            return None

    def _find(self, hash_part: str) -> PathInfo | None:
        store = self.server.store
        if not store.layout.database.exists():
            return None
        path = store.database.beginning_with(f"{store.store_dir}/{hash_part}-")
        return store.database.query(path) if path else None

    def _path(self, info: PathInfo) -> StorePath:
        return StorePath.parse(info.path, self.server.store.store_dir)

    def _send(self, body: bytes | None, name: str) -> None:
        found = body is not None
        content = body if body is not None else b"not found\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", content_type(name) if found else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


class _Body:
    """What a compressor writes to."""

    def __init__(self, handler: _Handler) -> None:
        self._file, self._is_chunked = handler.wfile, handler._is_chunked

    def write(self, data: bytes) -> int:
        if not data:
            return 0
        if self._is_chunked:
            self._file.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._file.write(data)
        return len(data)
