"""Patterns are found, line by line, and none takes longer than its time."""

from __future__ import annotations

import re

import pytest

from deployer.formats.manifest import Check
from deployer.host.matching import PatternTooSlow, first_match
from deployer.host.probes import Prober

LINES = ["all well", "é: Panic", "panic 7", ""]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("(?i)panic", "é: Panic"),
        ("^panic", "panic 7"),
        ("panic [0-9]+$", "panic 7"),
        (r"^\w+: P.*c$", "é: Panic"),
        ("^$", ""),
        ("^.{0}$", ""),
        ("well.*panic", None),
        ("-x|--help|q+", None),
        ("welll?", "all well"),
    ],
)
def test_the_first_line_that_matches_is_found(pattern: str, found: str | None) -> None:
    assert first_match(pattern, LINES, 30.0) == found
    assert first_match(pattern, [], 30.0) is None


def test_a_pattern_that_would_take_years_is_given_up() -> None:
    with pytest.raises(PatternTooSlow, match="and was given up"):
        first_match("^(a|aa)+$", ["a" * 300 + "b"], 0.5)


def test_a_hostile_text_holds_up_nobody(tmp_path: object) -> None:
    file = f"{tmp_path}/file"
    with open(file, "w", encoding="utf-8") as writing:
        writing.write("a" * 300 + "b\n")

    found = Prober().attempt(Check("it", "file", path=file, pattern="^(a|aa)+$", timeout=0.5))

    assert (found.healthy, "was given up" in found.message) == (False, True)


@pytest.mark.parametrize("pattern", ["(", "(+"])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(re.error):
        first_match(pattern, LINES, 30.0)
    assert not Prober().attempt(Check("it", "file", path="/etc/passwd", pattern=pattern)).healthy
