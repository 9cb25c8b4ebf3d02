"""What is done about drift."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployer.drift import Policy, PolicyWrong, Verdict, decide, reconcile
from deployer.formats.messages import DriftItem
from deployer.history import HostOutcome, open_history
from deployer.rollout.events import EventSink
from deployer.rollout.operations import HostResult

MOTD = DriftItem("etc", "/etc/motd", "ours", "theirs")
CRON = DriftItem("unit", "cron.service", "active", "inactive")


@dataclass
class Fleet:
    drift: dict[str, tuple[DriftItem, ...]]
    repaired: list[str] = field(default_factory=list)

    async def observe(self, host: str, ignore: Sequence[str]) -> tuple[DriftItem, ...]:
        return self.drift[host]

    async def repair(self, host: str, on_event: EventSink) -> HostResult:
        self.repaired.append(host)
        return HostResult(HostOutcome.CONFIRMED)


def test_policies_are_read_and_mistakes_named() -> None:
    assert Policy.parse("repair").policy == "repair"
    assert Policy.parse({"ignore": ["/etc/motd"]}, {"policy": "repair"}) == Policy("repair", ("/etc/motd",))
    with pytest.raises(PolicyWrong, match="report or repair"):
        Policy.parse("mend")
    with pytest.raises(PolicyWrong) as caught:
        Policy.parse({"ignored": []})
    assert "'ignore'" in caught.value.remedy


@pytest.mark.parametrize(
    ("policy", "items", "repairs", "verdict"),
    [
        (Policy("repair"), (), {}, Verdict.CLEAN),
        (Policy("report"), (MOTD,), {}, Verdict.REPORT),
        (Policy("repair"), (MOTD,), {}, Verdict.REPAIR),
        (Policy("repair", ("/etc/*",)), (MOTD,), {}, Verdict.CLEAN),
        (Policy("repair", ("unit:cron*",)), (CRON,), {}, Verdict.CLEAN),
        (Policy("repair"), (MOTD,), {("etc", "/etc/motd"): (9_900.0,)}, Verdict.BACK_OFF),
        (Policy("repair"), (MOTD,), {("etc", "/etc/motd"): (9_000.0,)}, Verdict.REPAIR),
        (Policy("repair"), (MOTD,), {("etc", "/etc/motd"): (9_000.0, 9_500.0)}, Verdict.BACK_OFF),
        (Policy("repair"), (MOTD,), {("etc", "/etc/motd"): (1.0, 2.0, 3.0)}, Verdict.FLAPPING),
        (Policy("repair", flapping_window=100), (MOTD,), {("etc", "/etc/motd"): (1.0, 2.0, 3.0)}, Verdict.REPAIR),
    ],
)
def test_verdicts(
    policy: Policy, items: Sequence[DriftItem], repairs: dict[tuple[str, str], Sequence[float]], verdict: Verdict
) -> None:
    assert decide(policy, items, repairs, 10_000.0).verdict is verdict


async def test_drift_that_returns_is_left_alone_after_a_while(tmp_path: Path) -> None:
    now = [1_000.0]
    history = open_history(tmp_path / "h.db", clock=lambda: now[0])
    fleet = Fleet({"web1": (MOTD,), "web2": ()})
    policies = {"web1": Policy("repair", back_off=1), "web2": Policy("repair")}
    verdicts = []

    for _ in range(5):
        now[0] += 100
        reports = await reconcile(policies, fleet, history, lambda event: None, clock=lambda: now[0])
        verdicts.append(reports[0].decision.verdict if reports[0].decision else None)

    assert verdicts == [Verdict.REPAIR] * 3 + [Verdict.FLAPPING] * 2
    assert fleet.repaired == ["web1"] * 3
    assert history.locks() == ()
