"""What the readings of health checks mean, but for patterns: a web server's answer, a file, a metric's samples. Pure."""

from __future__ import annotations

import json
import math
import operator
import re
import stat
from dataclasses import dataclass
from typing import Any, Callable, Final, List, Mapping, Optional, Tuple

from deployer.formats.manifest import Check
from deployer.host.process import one_line

LARGEST_READING: Final = 1 << 20
"""Bytes of an answer or a file that are read and searched."""
_SHORT: Final = 120
_DAY: Final = 86400.0
_COMPARISON: Final = re.compile(r"(<=|>=|==|!=|<|>) ?([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)")
_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Attempt:
    """How one attempt of a check ended."""

    healthy: bool
    message: str


@dataclass(frozen=True)
class Answer:
    """What a web server said."""

    url: str
    """That it was said at: another than was asked, where redirects were followed."""
    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes = b""
    expires: Optional[float] = None
    """When the first certificate on the way expires, in seconds since 1970. None: there was none, or none was verified."""


@dataclass(frozen=True)
class FileReading:
    """What a file is like."""

    mode: int
    """As `stat` gives it, with the kind of file."""
    age: float
    """Seconds since it was last written."""


def of_answer(check: Check, answer: Answer, now: float) -> Attempt:
    """Whether an answer is the one that is healthy. `now` is wall time."""
    told = f"{one_line(answer.url, _SHORT)} answered {answer.status}"
    wanted = check.statuses or (str(check.status),)
    if not any(_is_in(answer.status, span) for span in wanted):
        words = one_line(answer.body.decode("utf-8", "replace"), _SHORT)
        return Attempt(False, f"{told}, and {', '.join(wanted)} is healthy{f': {words}' if words else ''}")
    for name, text in sorted(check.expect_headers.items()):
        value = answer.headers.get(name.lower())
        if value is None:
            return Attempt(False, f"{told} without the header '{one_line(name, 80)}'")
        if text not in value:
            return Attempt(False, f"{told} with {one_line(name, 80)}: {one_line(value, 80)}, without '{one_line(text, 80)}'")
    if check.body and check.body.encode() not in answer.body:
        return Attempt(False, f"{told} without the text '{one_line(check.body, 80)}'")
    if check.certificate_days:
        if answer.expires is None:
            return Attempt(False, f"{told} without a certificate that was verified")
        left = (answer.expires - now) / _DAY
        if left < check.certificate_days:
            days = f"{max(left, 0.0):.1f} days, and {check.certificate_days} is the least"
            return Attempt(False, f"{told} with a certificate that is good for {days}")
    return Attempt(True, told)


def of_conversation(check: Check, said: bytes) -> Attempt:
    """Whether what a port said is what it should say."""
    told = f"{one_line(check.address, 100)} port {check.port}"
    if not (check.expect or check.pattern):
        return Attempt(True, f"{told} accepts connections")
    if not said:
        return Attempt(False, f"{told} accepts connections, and said nothing")
    if check.expect.encode() not in said:
        words = one_line(said.decode("utf-8", "replace"), _SHORT)
        return Attempt(False, f"{told} answered without the text '{one_line(check.expect, 80)}': {words}")
    return Attempt(True, f"{told} answered")


def of_file(check: Check, reading: FileReading) -> Attempt:
    """Whether a file is as it should be. Its content is never told."""
    told = one_line(check.path, _SHORT)
    mode = stat.S_IMODE(reading.mode)
    if check.mode and mode != int(check.mode, 8):
        return Attempt(False, f"{told} has mode {mode:04o}, and {check.mode.zfill(4)} is healthy")
    if check.max_age and reading.age > check.max_age:
        return Attempt(False, f"{told} was written {reading.age:.0f} s ago, and {check.max_age:g} s is the most")
    if check.pattern and not stat.S_ISREG(reading.mode):
        return Attempt(False, f"{told} is no regular file")
    return Attempt(True, f"{told} is there")


def unmatched(check: Check, reading: Attempt) -> Attempt:
    """What is healthy but for its pattern."""
    return Attempt(False, f"{reading.message} without a match of '{one_line(check.pattern, 80)}'")


def of_samples(check: Check, body: bytes) -> Attempt:
    """Whether all samples that a query gave compare as they should."""
    found = _COMPARISON.fullmatch(check.comparison)
    if found is None:
        return Attempt(False, f"'{one_line(check.comparison, 40)}' is no comparison")
    try:
        samples = _samples(json.loads(body))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return undecided(check, "the answer is not one of Prometheus'")
    if not samples:
        return undecided(check, "the query has no result")
    if any(math.isnan(value) for _, value in samples):
        return undecided(check, "the result is not a number")
    compare, bound = _OPERATORS[found.group(1)], float(found.group(2))
    wrong = [(labels, value) for labels, value in samples if not compare(value, bound)]
    if wrong:
        labels, value = wrong[0]
        return Attempt(False, f"the query gives {value:g}{labels}, and {check.comparison} is healthy")
    return Attempt(True, f"the query gives {samples[0][1]:g}{f' and {len(samples) - 1} more' if len(samples) > 1 else ''}")


def undecided(check: Check, reason: str) -> Attempt:
    """What a check is where nothing can be told."""
    return Attempt(check.inconclusive == "green", f"inconclusive: {reason}")


def _is_in(status: int, span: str) -> bool:
    low, _, high = span.partition("-")
    return low.isdecimal() and int(low) <= status <= int(high if high.isdecimal() else low)


def _samples(document: Any) -> List[Tuple[str, float]]:
    """The labels and values in the answer of Prometheus' `/api/v1/query`; whatever is raised, it is no such answer."""
    data = document["data"]
    if data["resultType"] == "scalar":
        return [("", float(data["result"][1]))]
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    return [(_labels(one["metric"]), float(one["value"][1])) for one in data["result"]]


def _labels(metric: Mapping[str, str]) -> str:
    named = ", ".join(f"{name}={value}" for name, value in sorted(metric.items()))
    return f" for {one_line(named, _SHORT)}" if named else ""
