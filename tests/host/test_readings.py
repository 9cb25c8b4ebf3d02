"""What readings mean: answers of web servers, files, conversations, samples of metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployer.formats.manifest import Check
from deployer.host.readings import Answer, Attempt, FileReading, of_answer, of_conversation, of_file, of_samples

DAY = 86400.0


def http(
    status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None, expires: float | None = None, **check: Any
) -> Attempt:
    return of_answer(Check("a", "http", **check), Answer("http://x/", status, headers or {}, body, expires), now=0.0)


class TestAnswers:
    """Of web servers."""

    @pytest.mark.parametrize(
        ("statuses", "good", "bad"),
        [((), [200], [199, 201, 500]), (("204", "300-399"), [204, 300, 302, 399], [200, 299, 400]), (("x",), [], [200])],
    )
    def test_a_status_is_in_one_of_the_ranges(self, statuses: tuple[str, ...], good: list[int], bad: list[int]) -> None:
        assert [http(status, statuses=statuses).healthy for status in good] == [True] * len(good)
        assert [http(status, statuses=statuses).healthy for status in bad] == [False] * len(bad)

    def test_a_header_must_be_there_and_contain_its_text(self) -> None:
        wanted = {"Content-Type": "json", "X-Any": ""}

        assert http(headers={"content-type": "application/json", "x-any": "y"}, expect_headers=wanted).healthy
        assert http(headers={"content-type": "a/json"}, expect_headers=wanted).message.endswith("without the header 'X-Any'")
        found = http(headers={"content-type": "text/\x1b[31m", "x-any": ""}, expect_headers=wanted)
        assert found.message == "http://x/ answered 200 with Content-Type: text/ [31m, without 'json'"

    def test_a_certificate_must_be_good_for_some_days(self) -> None:
        assert http(expires=31 * DAY, certificate_days=30).healthy
        assert "good for 29.0 days, and 30 is the least" in http(expires=29 * DAY, certificate_days=30).message
        assert not http(expires=-DAY, certificate_days=1).healthy
        assert not http(certificate_days=1).healthy


def test_a_conversation_is_healthy_once_it_has_what_is_expected() -> None:
    check = Check("a", "tcp", address="h", port=6379, expect="+PONG")

    assert of_conversation(check, b"+PONG\r\n") == Attempt(True, "h port 6379 answered")
    assert "said nothing" in of_conversation(check, b"").message
    assert of_conversation(check, b"-ERR\x07\n").message == "h port 6379 answered without the text '+PONG': -ERR"


@pytest.mark.parametrize(
    ("check", "reading", "message"),
    [
        ({"mode": "600"}, FileReading(0o100600, 0), "/x is there"),
        ({"mode": "0600"}, FileReading(0o100644, 0), "/x has mode 0644, and 0600 is healthy"),
        ({"max_age": 60.0}, FileReading(0o100600, 61), "/x was written 61 s ago, and 60 s is the most"),
        ({"max_age": 60.0}, FileReading(0o100600, -5), "/x is there"),
        ({"pattern": "^ok$"}, FileReading(0o100600, 0), "/x is there"),
        ({"pattern": ""}, FileReading(0o040755, 0), "/x is there"),
        ({"pattern": "x"}, FileReading(0o040755, 0), "/x is no regular file"),
    ],
)
def test_a_file_has_a_mode_and_an_age(check: dict[str, Any], reading: FileReading, message: str) -> None:
    found = of_file(Check("a", "file", path="/x", **check), reading)

    assert found == Attempt(message == "/x is there", message)


def samples(body: object, comparison: str = "< 0.05", **check: Any) -> Attempt:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return of_samples(Check("a", "prometheus", comparison=comparison, **check), data)


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"job": f"j{index}"}, "value": [1.5, value]} for index, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


class TestSamples:
    """Of a Prometheus."""

    def test_all_samples_must_compare(self) -> None:
        assert samples(vector("0.01")) == Attempt(True, "the query gives 0.01")
        assert samples(vector("0.01", "0.02")) == Attempt(True, "the query gives 0.01 and 1 more")
        assert samples(vector("0.01", "0.06")) == Attempt(False, "the query gives 0.06 for job=j1, and < 0.05 is healthy")
        assert samples({"status": "success", "data": {"resultType": "scalar", "result": [1, "3"]}}, ">=3").healthy
        assert not samples(vector("+Inf")).healthy

    @pytest.mark.parametrize(
        ("comparison", "holds"), [("<1", False), ("<=1", True), ("== 1", True), ("!=1", False), (">0", True), ("> -1e3", True)]
    )
    def test_comparisons(self, comparison: str, holds: bool) -> None:
        assert samples(vector("1"), comparison).healthy is holds

    @pytest.mark.parametrize(
        "body",
        [
            vector(),
            vector("NaN"),
            vector("0.01", "NaN"),
            vector("x"),
            {"status": "error", "error": "x"},
            {"status": "success", "data": {"resultType": "matrix", "result": []}},
            {"status": "success", "data": {"resultType": "vector", "result": [{"metric": 3, "value": [1, "0"]}]}},
            {"status": "success", "data": {"resultType": "vector", "result": 7}},
            [],
            None,
            b"<html>",
            b"",
            b"\xff\xfe",
            b"[" * 100_000,
        ],
        ids=lambda body: str(body)[:30],
    )
    def test_what_says_nothing_is_inconclusive_and_red_unless_told_otherwise(self, body: object) -> None:
        found = samples(body)

        assert (found.healthy, found.message.split(":")[0]) == (False, "inconclusive")
        assert samples(body, inconclusive="green").healthy
