"""Strategies and waves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from deployer.errors import ManyErrors
from deployer.rollout import Amount, CanaryMissing, OnFailure, Strategy, StrategyKeyUnknown, StrategyValueWrong, plan_waves


@dataclass(frozen=True)
class SimulatedHost:
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


def hosts(count: int) -> list[SimulatedHost]:
    return [SimulatedHost(f"h{number}", {"zone": "ab"[number % 2]}) for number in range(count)]


def sizes(strategy: Mapping[str, object], count: int) -> list[int]:
    return [len(wave.hosts) for wave in plan_waves(Strategy.parse(strategy), hosts(count))]


def test_all_keys_are_read() -> None:
    raw = {
        "canary": "canary=yes",
        "waves": [1, "25%"],
        "max_parallel": 5,
        "one_per": "rack",
        "max_failures": "10%",
        "on_failure": "rollback-all",
        "bake_time": "10m",
    }

    strategy = Strategy.parse(raw)

    assert strategy.waves == (Amount(1), Amount(25, percent=True))
    assert strategy.on_failure is OnFailure.ROLLBACK_ALL
    assert strategy.bake_time == 600
    assert Strategy.parse(strategy.to_json()) == strategy


def test_the_command_line_wins_where_it_says_something() -> None:
    assert Strategy.parse({"max_parallel": 5}, {"max_parallel": 2, "canary": None}).max_parallel == 2


def test_a_misspelled_key_names_the_nearest() -> None:
    with pytest.raises(StrategyKeyUnknown) as caught:
        Strategy.parse({"max_failure": 1})

    assert "max_failures" in caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("waves", "0%"),
        ("waves", 0),
        ("canary", "0%"),
        ("max_failures", -1),
        ("max_failures", "101%"),
        ("max_parallel", "10%"),
        ("max_parallel", True),
        ("bake_time", "soon"),
        ("on_failure", "panic"),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(StrategyValueWrong):
        Strategy.parse({key: value})


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(ManyErrors) as caught:
        Strategy.parse({"waves": "0%", "on_failure": "panic", "nothing": 1})

    assert len(caught.value.errors) == 3


def test_sizes_of_waves() -> None:
    assert sizes({}, 5) == [5]
    assert sizes({"canary": 1}, 5) == [1, 4]
    assert sizes({"canary": "10%"}, 5) == [1, 4]
    assert sizes({"canary": 1, "waves": "50%"}, 10) == [1, 5, 4]
    assert sizes({"waves": [1, 2]}, 6) == [1, 2, 2, 1]
    assert sizes({"canary": 9}, 3) == [3]
    assert sizes({"canary": 1}, 0) == []


def test_waves_by_label_keep_the_inventory_s_order() -> None:
    waves = plan_waves(Strategy.parse({"waves": {"label": "zone"}}), [*hosts(4), SimulatedHost("bare")])

    assert [wave.hosts for wave in waves] == [("h0", "h2"), ("h1", "h3"), ("bare",)]


def test_a_canary_that_nobody_is_is_an_error() -> None:
    with pytest.raises(CanaryMissing):
        plan_waves(Strategy.parse({"canary": "zone=z"}), hosts(3))


def test_a_named_canary_out_of_reach_is_kept_for_the_gate() -> None:
    strategy = Strategy.parse({"canary": ["h0"]})

    waves = plan_waves(strategy, hosts(3), changing={"h1", "h2"}, unreachable={"h0"})

    assert [wave.hosts for wave in waves] == [("h0",), ("h1", "h2")]
