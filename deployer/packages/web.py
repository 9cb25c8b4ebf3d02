"""Reading what an index says, over http or from a file: with logins, a bound on its length, and further attempts."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import tenacity

from deployer.packages.logins import request_to

_TIMEOUT: Final = 30.0
"""Seconds without an answer."""
_ATTEMPTS: Final = 4
FIRST_WAIT: Final = 1.0
"""Seconds before the second attempt."""
_RETRIED_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ABSENT: Final = frozenset({404, 410})
"""How servers say that they have no such thing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read."""

    url: str
    """Where it came from in the end."""
    kind: str
    """Its media type."""
    length: int
    """In bytes, as the server says it; 0 where it does not."""
    body: bytes


class Unreadable(Exception):
    """Nothing was to be had, for this reason."""


class _Trouble(Unreadable):
    """Worth another attempt."""


def read(url: str, *, method: str = "GET", accept: str = "*/*", longest: int) -> Answer | None:
    """What is at a URL; None where nothing is. Blocks. `longest` is in bytes. Raises `Unreadable`, `LoginsUnreadable`."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Trouble),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(multiplier=FIRST_WAIT, max=10, jitter=FIRST_WAIT),
        reraise=True,
    )
    return retrying(_attempt, url, method, accept, longest)


def _attempt(url: str, method: str, accept: str, longest: int) -> Answer | None:
    request = request_to(url, method=method, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            length = int(answer.headers.get("Content-Length") or 0)
            body = b"" if method == "HEAD" else answer.read(longest + 1)
            if len(body) > longest:
                raise Unreadable(f"{url} is longer than {longest} bytes")
            return Answer(answer.url, answer.headers.get_content_type(), length, body)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _ABSENT:
            return None
        if error.code in _RETRIED_STATUS:
            raise _Trouble(f"{url} answered {error.code} {error.reason}") from None
        hint = "; write the name and the password into ~/.netrc" if error.code == 401 else ""
        raise Unreadable(f"{url} answered {error.code} {error.reason}{hint}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError) or urlsplit(url).scheme == "file":
            return None
        raise _Trouble(f"{url}: {error.reason}") from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Trouble(f"{url}: {error or type(error).__name__}") from None
