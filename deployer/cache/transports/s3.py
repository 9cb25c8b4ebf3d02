"""A cache in a bucket of any S3-compatible object store: `s3://BUCKET?endpoint=…&region=…&profile=…`, by way of boto3."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from deployer.cache.errors import CacheUnusable, LibraryMissing
from deployer.cache.location import Location
from deployer.cache.transports import SMALL, Stream, content_type
from deployer.cache.transports.retries import ATTEMPTS

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound", "403", "AccessDenied"})
"""What an object store says of what it does not have; without the right to list, that access is denied."""
_CONNECTIONS: Final = 32
_REGION: Final = "us-east-1"
_PIECE: Final = 1 << 16
"""Bytes that are lost at most where a connection breaks."""


class S3Transport:
    """A bucket. Credentials come from where Amazon's own tools look for them; `profile` names a set of them."""

    is_remote = True

    def __init__(self, location: Location) -> None:
        """Nothing is asked yet."""
        self.url = location.url
        parts = urlsplit(location.url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._options = location.options

    def get(self, name: str) -> bytes | None:
        """A small object, whole."""
        with self.open(name) as body:
            if body is None:
                return None
            pieces, left = [], SMALL + 1
            while left and (piece := body.read(left)):
                pieces.append(piece)
                left -= len(piece)
        if not left:
            raise CacheUnusable(self.url, f"{name} is longer than {SMALL} bytes")
        return b"".join(pieces)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Stream | None]:
        """An object as a stream, taken up again where its connection breaks."""
        found = self._ask(functools.partial(self._client.get_object, Bucket=self._bucket, Key=self._key(name)))
        if found is None:
            yield None
            return
        body = _Object(self, self._key(name), found)
        try:
            yield body
        finally:
            body.close()

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._ask(functools.partial(self._client.head_object, Bucket=self._bucket, Key=self._key(name))) is not None

    def put(self, name: str, source: Path) -> None:
        """Send an object; a large one in parts, several at once."""
        from boto3.exceptions import Boto3Error

        key, extra = self._key(name), {"ContentType": content_type(name)}
        try:
            self._ask(functools.partial(self._client.upload_file, str(source), self._bucket, key, ExtraArgs=extra), writes=True)
        except Boto3Error as error:
            raise CacheUnusable(self.url, str(error)) from None

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def rest(self, key: str, at: int, etag: str) -> Any:
        """An object from a byte on, if it is still the same."""
        found = self._ask(
            functools.partial(self._client.get_object, Bucket=self._bucket, Key=key, Range=f"bytes={at}-", IfMatch=etag)
        )
        if found is None:
            raise CacheUnusable(self.url, f"{key} vanished while it was read")
        return found["Body"]

    def _key(self, name: str) -> str:
        if urlsplit(name).scheme or name.startswith("/") or ".." in name.split("/"):
            raise CacheUnusable(self.url, f"it points to {name[:200]}, which is outside of it")
        return f"{self._prefix}/{name}" if self._prefix else name

    def _ask(self, call: Any, *, writes: bool = False) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT and not writes:
                return None
            raise CacheUnusable(self.url, str(error)) from None
        except (BotoCoreError, OSError) as error:
            raise CacheUnusable(self.url, str(error)) from None

    @functools.cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise LibraryMissing(self.url, "boto3", "s3") from None

        options = self._options
        endpoint = options.get("endpoint")
        if endpoint and "://" not in endpoint:
            endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
        config = Config(
            max_pool_connections=_CONNECTIONS,
            connect_timeout=15,
            read_timeout=60,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            # Names of buckets in host names need a DNS that only Amazon has.
            s3={"addressing_style": "path" if endpoint else "auto"},
            # Other servers know nothing of the checksums that newer clients add.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.Session(profile_name=options.get("profile"))
            region = options.get("region") or session.region_name or _REGION
            return session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise CacheUnusable(self.url, str(error)) from None


class _Object:
    """The bytes of one object, over as many connections as it takes."""

    def __init__(self, transport: S3Transport, key: str, found: Any) -> None:
        self._transport, self._key = transport, key
        self._body, self._etag = found["Body"], found["ETag"]
        self._at = self._failures = 0

    def read(self, size: int, /) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        while True:
            try:
                piece: bytes = self._body.read(min(size, _PIECE))
            except (BotoCoreError, HTTPError, OSError) as error:
                self._failures += 1
                if self._failures >= ATTEMPTS:
                    raise CacheUnusable(self._transport.url, str(error)) from None
                self._body.close()
                self._body = self._transport.rest(self._key, self._at, self._etag)
                continue
            if piece:
                self._at += len(piece)
                self._failures = 0
            return piece

    def close(self) -> None:
        self._body.close()
