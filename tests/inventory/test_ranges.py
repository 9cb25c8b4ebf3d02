"""Ranges of names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.errors import Place
from deployer.inventory.errors import BadRange
from deployer.inventory.ranges import MAX_NAMES, expand

HERE = Place("inventory.yaml", 1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[01:03].example.org", ["web01.example.org", "web02.example.org", "web03.example.org"]),
        ("web[:2]", ["web0", "web1", "web2"]),
        ("db[a:c]", ["dba", "dbb", "dbc"]),
        ("db[A:C:2]", ["dbA", "dbC"]),
        ("n[0:10:5]", ["n0", "n5", "n10"]),
        ("n[8:11]", ["n8", "n9", "n10", "n11"]),
        ("r[1:2]-[a:b]", ["r1-a", "r1-b", "r2-a", "r2-b"]),
    ],
)
def test_a_range_stands_for_its_names_both_ends_included(text, expected):
    assert list(expand(text, HERE)) == expected


@given(st.integers(0, 5000), st.integers(0, 300), st.integers(1, 50))
def test_numbers_go_from_low_to_high_by_the_step(low, span, step):
    assert expand(f"n[{low}:{low + span}:{step}]", HERE) == tuple(f"n{n}" for n in range(low, low + span + 1, step))


@given(st.integers(0, 99), st.integers(0, 99), st.integers(2, 6))
def test_padding_is_kept(first, last, width):
    low, high = sorted((first, last))

    names = expand(f"n[{low:0{width}}:{high:0{width}}]", HERE)

    assert all(len(name) == width + 1 for name in names)
    assert [int(name[1:]) for name in names] == list(range(low, high + 1))


@given(st.text(alphabet="[]:0123456789abAB-", max_size=20))
def test_any_text_is_expanded_or_refused(text):
    try:
        names = expand(text, HERE)
    except BadRange:
        return

    assert 1 <= len(names) <= MAX_NAMES
