"""Hosts of one configuration share what they can, and nothing that they can't."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.config import Evaluator, HostView
from deployer.config.by_facts import ByFacts
from deployer.config.module import Contributed
from deployer.config.sharing import MAX_VARIANTS, Shared
from deployer.errors import DeployerError, Place

MAIN = """\
users: {alice: {description: "in ${host.labels.rack}"}, bob: {home: "${config.etc.shared.text}"}}
etc:
  name: {text: "${host.name}"}
  shared: {text: /srv}
  through: {text: "${config.users.alice.description}!"}
systemd:
  services:
    plain: {service: {ExecStart: /bin/plain /etc/shared}}
    named: {service: {ExecStart: "/bin/named /etc/name ${host.name}"}}
"""


def host(number: int) -> HostView:
    return HostView(f"h{number}", labels={"rack": f"r{number % 2}"})


@pytest.fixture
def main(directory):
    return directory.write(main=MAIN)


def test_hosts_that_share_have_what_each_alone_would_have(packages, main):
    together = Evaluator(packages=packages)

    for number in (0, 1, 2, 1, 40):
        alone = Evaluator(packages=packages).evaluate(host(number), main)
        assert together.evaluate(host(number), main) == alone


def test_an_option_that_reads_no_fact_is_the_same_object_for_all(packages, main):
    evaluator = Evaluator(packages=packages)

    one, two = evaluator.evaluate(host(1), main), evaluator.evaluate(host(2), main)

    assert one.get("activation") is two.get("activation")
    assert one.get("etc") != two.get("etc")


def test_within_an_option_what_reads_no_fact_is_the_same_object(packages, main):
    evaluator = Evaluator(packages=packages)

    one, two = evaluator.evaluate(host(1), main), evaluator.evaluate(host(2), main)

    assert one.get("etc")["shared"] is two.get("etc")["shared"]
    assert one.get("systemd.services")["plain"] is two.get("systemd.services")["plain"]
    assert one.get("systemd.services")["named"] is not two.get("systemd.services")["named"]


def test_a_fact_that_is_read_through_another_option_counts(packages, main):
    evaluator = Evaluator(packages=packages)

    texts = [evaluator.evaluate(host(number), main).get("etc")["through"]["text"] for number in (0, 1, 2)]

    assert texts == ["in r0!", "in r1!", "in r0!"]
    assert evaluator.evaluate(host(0), main).get("users") is evaluator.evaluate(host(2), main).get("users")


def test_what_is_wrong_for_one_host_is_not_wrong_for_the_next(packages, directory):
    path = directory.write(main="users: {a: {uid: '${host.vars.uid}'}}\netc: {a: {text: '${config.users.a.uid}!'}}\n")
    evaluator = Evaluator(packages=packages)

    with pytest.raises(DeployerError):
        evaluator.evaluate(HostView("h1", vars={"uid": "x"}), path)

    assert evaluator.evaluate(HostView("h2", vars={"uid": 7}), path).get("etc")["a"]["text"] == "7!"
    with pytest.raises(DeployerError):
        evaluator.evaluate(HostView("h3", vars={"uid": "x"}), path)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_the_order_of_hosts_changes_nothing(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("order") / "main.yaml"
    path.write_text(MAIN)
    evaluator = Evaluator(packages=Nothing())

    for number in numbers:
        assert evaluator.evaluate(host(number), path).values == Evaluator(packages=Nothing()).evaluate(host(number), path).values


CONTRIBUTED = Contributed("etc", lambda config: {}, Place("m.py", 1))


class Nothing:
    """A package set without packages."""

    def names(self) -> list[str]:
        return []

    def output_path(self, name: str) -> str:
        raise KeyError(name)

    def is_tree(self, path: str) -> bool:
        return False


def test_the_oldest_variants_are_forgotten():
    made: ByFacts[int] = ByFacts(MAX_VARIANTS)
    for number in range(MAX_VARIANTS + 1):
        made.keep(host(number), {"name"}, number)

    assert made.find(host(0)) is None
    assert made.find(host(1)) is not None


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), ([1], (1,)), ("1", b"1")])
def test_equal_values_of_other_types_are_other_definitions(before: Any, after: Any):
    shared, contributed = Shared(), CONTRIBUTED

    (one,) = shared.defined(contributed, {"a": before})
    (other,) = shared.defined(contributed, {"a": after})
    (again,) = shared.defined(contributed, {"a": after})

    assert one.value["a"] is not other.value["a"]
    assert again.value["a"] is other.value["a"]
