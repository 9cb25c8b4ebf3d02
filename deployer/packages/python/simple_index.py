"""An index of Python packages, asked for the files of a project: the simple API, in JSON (PEP 691) or HTML (PEP 503).

Only `deployer lock` asks. What an index says is no more than that a file may be worth fetching: hashes are pinned elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

from deployer.packages.errors import PythonIndexFailed
from deployer.packages.python.wheels import filename_of
from deployer.packages.web import Answer, Unreadable, read

_ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_LONGEST: Final = 128 << 20
"""Bytes of a page: those of projects with ten thousands of files are some tens of MB."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a project."""

    filename: str
    url: str
    hashes: Mapping[str, str]
    """Algorithm → hexadecimal digest."""
    size: int = 0
    """Bytes; 0 where the index does not tell."""
    requires_python: str = ""


@dataclass(frozen=True, slots=True)
class SimpleIndex:
    """One index by its URL, which ends in `/simple` for most."""

    url: str

    def files(self, project: str) -> tuple[IndexFile, ...]:
        """All files of a project; none where the index does not have it. Blocks. Raises `PythonIndexFailed`."""
        page = f"{self.url.rstrip('/')}/{project}/"
        if urlsplit(page).scheme == "file":
            page += "index.html"
        answer = self._ask(page, "GET")
        if answer is None:
            return ()
        try:
            is_json = answer.kind == _JSON
            found = _from_json(json.loads(answer.body)) if is_json else _from_html(answer.body.decode(errors="replace"))
            found = [_absolute(answer.url, file) for file in found]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._failed(f"what it says of {project} is not of the simple API ({type(error).__name__}: {error})") from None
        for file in found:
            if file.url.startswith("file:") and not self.url.startswith("file:"):
                raise self._failed(f"it says that {file.filename} is on this machine, at {file.url}")
        return tuple(found)

    def sized(self, file: IndexFile) -> IndexFile:
        """The file with its size, asked for where the index did not tell. Blocks. Raises `PythonIndexFailed`."""
        if file.size:
            return file
        answer = self._ask(file.url, "HEAD")
        if answer is None:
            raise self._failed(f"it names {file.url}, and that is not there")
        return replace(file, size=answer.length)

    def _ask(self, url: str, method: str) -> Answer | None:
        """What is there; None for nothing."""
        try:
            return read(url, method=method, accept=_ACCEPT, longest=_LONGEST)
        except Unreadable as error:
            raise self._failed(str(error)) from None

    def _failed(self, reason: str) -> PythonIndexFailed:
        return PythonIndexFailed(self.url, reason)


def _absolute(page: str, file: IndexFile) -> IndexFile:
    return replace(file, url=urljoin(page, file.url))


def _from_json(document: Any) -> list[IndexFile]:
    major = str(document["meta"]["api-version"]).partition(".")[0]
    if major != "1":
        raise ValueError(f"its version is {document['meta']['api-version']}, and we read 1")
    return [
        IndexFile(
            str(file["filename"]),
            str(file["url"]),
            {str(algorithm): str(digest) for algorithm, digest in file["hashes"].items()},
            int(file.get("size") or 0),
            str(file.get("requires-python") or ""),
        )
        for file in document["files"]
    ]


def _from_html(text: str) -> list[IndexFile]:
    page = _Page()
    page.feed(text)
    page.close()
    return page.files


class _Page(HTMLParser):
    """The links of a page of PEP 503."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[IndexFile] = []
        self._base = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take in a link, or what links are relative to."""
        known = {name: value or "" for name, value in attributes}
        if tag == "base":
            self._base = known.get("href", "")
        if tag == "a" and "href" in known:
            url, fragment = urldefrag(urljoin(self._base, known["href"]))
            hashes = dict(parse_qsl(fragment))
            self.files.append(IndexFile(filename_of(url, None), url, hashes, 0, known.get("data-requires-python", "")))
