"""Roots with a past."""

from __future__ import annotations

import os

import pytest

from deployer.store.generations import Generation, add_generations, forget, generations, outdated


def test_a_new_path_is_a_new_generation_and_the_same_one_is_none(store):
    one, two = (store.add_text(name, b"x") for name in ("one", "two"))

    for path in (one, one, two, one):
        add_generations(store, {"host-a-1": path, "host-b": two})

    assert [(found.root, found.path) for found in generations(store)] == [
        ("host-a-1-1-link", str(one)),
        ("host-a-1-2-link", str(two)),
        ("host-a-1-3-link", str(one)),
        ("host-b-1-link", str(two)),
    ]


def test_other_roots_are_no_generations(store):
    store.add_root("mine", store.add_text("one", b"x"))

    assert generations(store) == ()


@pytest.mark.parametrize(
    ("made", "before", "gone"),
    [
        ([10, 20, 30], 100, [1, 2]),  # the newest stays, however old
        ([10, 20, 30], 30, [1]),  # 2 was the newest at 30
        ([10, 20, 30], 25, [1]),
        ([10, 20, 30], 15, []),
        ([10, 20, 30], 5, []),
        ([10], 100, []),
        ([], 100, []),
    ],
)
def test_what_was_in_use_at_the_time_stays(made, before, gone):
    known = [Generation("host-a", number, "/nix/store/x", time) for number, time in enumerate(made, 1)]

    assert [one.number for one in outdated(known, before)] == gone
    assert [one.name for one in outdated([*known, Generation("host-b", 1, "/nix/store/x", 1)], before)] == ["host-a"] * len(gone)


def test_what_is_forgotten_is_gone(store):
    for name in ("one", "two"):
        add_generations(store, {"host-a": store.add_text(name, b"x")})
    os.utime(store.layout.roots / "host-a-1-link", (1, 1), follow_symlinks=False)
    assert generations(store)[0].made == 1

    forget(store, generations(store)[:1])

    assert [one.number for one in generations(store)] == [2]
