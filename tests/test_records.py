"""A record is a frozen dataclass, from its first instance on."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from collections.abc import Mapping
from typing import ClassVar

import pytest

from deployer.records import Record, fields_of


class Fruit(Record):
    """A base with a field."""

    kind: ClassVar[str] = "fruit"

    name: str


class Apple(Fruit):
    """A field with a default, and one that is made anew."""

    grams: int = 100
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


def test_it_is_made_compared_shown_and_changed_as_a_dataclass() -> None:
    apple = Apple("Jonagold", grams=180)

    assert apple == Apple(name="Jonagold", grams=180, labels={})
    assert apple != Apple("Jonagold")
    assert repr(apple) == "Apple(name='Jonagold', grams=180, labels={})"
    assert dataclasses.replace(apple, grams=90) == Apple("Jonagold", 90)
    assert hash(Fruit("Fig")) == hash(Fruit("Fig"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        apple.grams = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="name"):
        Apple()  # type: ignore[call-arg]


def test_its_fields_are_known_before_there_is_an_instance() -> None:
    class Pear(Apple):
        ripe: bool = False

    assert [field.name for field in fields_of(Pear)] == ["name", "grams", "labels", "ripe"]


def test_fields_may_be_given_by_name_only() -> None:
    class Quince(Apple, kw_only=True):
        fuzz: bool

    assert Quince("Champion", fuzz=True).fuzz
    with pytest.raises(TypeError):
        Quince("Champion", 100, {}, True)  # type: ignore[call-arg]


def test_it_is_copied_and_sent_to_other_processes() -> None:
    apple = Apple("Boskoop", labels={"from": "garden"})

    assert copy.deepcopy(apple) == apple
    assert pickle.loads(pickle.dumps(apple)) == apple


def test_the_first_instances_may_be_made_in_many_threads_at_once() -> None:
    for _ in range(50):

        class Plum(Apple):
            stone: str = "one"

        start = threading.Barrier(4)
        made: list[Apple] = []

        def make(kind: type[Apple] = Plum, start: threading.Barrier = start, made: list[Apple] = made) -> None:
            start.wait()
            made.append(kind("Mirabelle"))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [Plum("Mirabelle")] * 4
