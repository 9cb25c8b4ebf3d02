"""Which version is newer: what dpkg says."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.packages.debian.version import DebianVersion

numbers = st.sampled_from(["0", "00", "1", "01", "2", "9", "10", "123"])
signs = st.sampled_from([".", "+", "~", "~~", "-", "a", "Z", "rc", "+b", "~deb", ".a", "+~"])
parts = st.lists(st.one_of(numbers, signs), max_size=5).map("".join)
versions = st.builds(
    "{}{}{}{}".format, st.sampled_from(["", "", "0:", "1:", "10:"]), numbers, parts, st.sampled_from(["", "-1", "-0"])
).map(lambda text: text.rstrip("-"))


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is not installed")
@settings(max_examples=150, deadline=None)
@given(versions, st.one_of(versions, st.none()), parts)
def test_versions_are_ordered_as_dpkg_orders_them(one, other, more):
    other = (one + more).rstrip("-") if other is None else other
    left, right = DebianVersion.parse(one), DebianVersion.parse(other)

    assert {relation: dpkg(one, relation, other) for relation in ("lt", "eq", "gt")} == {
        "lt": left < right,
        "eq": left == right,
        "gt": left > right,
    }


def dpkg(one: str, relation: str, other: str) -> bool:
    """What dpkg says of two versions."""
    return subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.22.1-9", "1.22.1-9+deb12u3"),
        ("3.0.17-1~deb12u2", "3.0.17-1"),
        ("2:1.0", "10:0.9"),
        ("1.0~rc1", "1.0"),
        ("1.9", "1.10"),
        ("0~1", "0"),
        ("1.0a", "1.0+"),
    ],
)
def test_the_newer_of_two_is_known(older, newer):
    assert DebianVersion.parse(older) < DebianVersion.parse(newer)


def test_a_version_is_shown_as_it_was_written():
    assert str(DebianVersion.parse("1:02-00")) == "1:02-00"
