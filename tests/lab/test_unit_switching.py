"""What the plan says of units is what happens to them, whatever the units are: pairs of random generations on real hosts.

Each step deploys a random generation over the one before it, after somebody has started and stopped units by hand. The plan is
compared with what happened to every unit of the host, those of the distribution too. Some steps bring a unit that fails: then
all that ran must run again, and nothing new. `DEPLOYER_UNIT_STEPS=100` takes more steps, `DEPLOYER_UNIT_SEED=0` others each time,
and another number those of a run before.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deployer.formats.manifest import Unit
from tests.lab.test_activation import Controller
from tests.lab.test_host_units import declare

STEPS = int(os.environ.get("DEPLOYER_UNIT_STEPS", "6"))
SEED = int(os.environ.get("DEPLOYER_UNIT_SEED", "7")) or random.SystemRandom().randrange(1, 1 << 32)
RELOADS = "/run/reloads"
LOOK = (
    "systemctl show -p Id,ActiveState,InvocationID -- $(systemctl list-units --all --plain --no-legend --full |"
    " awk '{print $1}' | grep -Ev '^(deployer-|session-|user|run-|sys-|proc-|dev-|init.scope|system-|systemd-tmpfiles-clean)');"
    f" echo; cd {RELOADS} 2>/dev/null && wc -l * | grep service"
)
SERVICES = ("a.service", "b.service", "c.service", "d.service")
OTHERS = ("s.socket", "t.timer", "p.path", "g.target", "w.slice", "srv-m.mount")
HELPERS = (
    Unit("s.service", "[Service]\nExecStart=/bin/sleep 1000\n", start=False),
    Unit("t.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n", start=False),
    Unit("p.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n", start=False),
)
FAILS = Unit("z.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")


@dataclass(frozen=True)
class Seen:
    """A unit at one moment."""

    active: str = "inactive"
    invocation: str = ""
    reloads: int = 0

    @property
    def runs(self) -> bool:
        return self.active in ("active", "activating", "reloading")


def look(controller: Controller) -> dict[str, Seen]:
    blocks = controller.run(LOOK).split("\n\n")
    counts = {words[1]: int(words[0]) for words in (line.split() for line in blocks[-1].splitlines()) if len(words) == 2}
    found: dict[str, Seen] = {}
    for block in blocks:
        said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in said:
            found[said["Id"]] = Seen(said["ActiveState"], said["InvocationID"], counts.get(said["Id"], 0))
    return found


def running(seen: Mapping[str, Seen]) -> set[str]:
    return {name for name, unit in seen.items() if unit.runs}


def service(rng: random.Random, name: str, others: list[str]) -> Unit:
    """A service with some of all that matters to a switch. It may name units that come before it."""
    unit = [f"X-{key}={rng.choice(['yes', 'no'])}" for key in ("StopIfChanged", "RestartIfChanged") if rng.random() < 0.2]
    unit += ["X-ReloadIfChanged=yes"] * (rng.random() < 0.2) + ["X-StopOnRemoval=no"] * (rng.random() < 0.2)
    unit += ["X-OnlyManualStart=yes"] * (rng.random() < 0.1) + ["RefuseManualStop=yes"] * (rng.random() < 0.1)
    unit += [f"Description={rng.randrange(3)}", f"X-Reload-Triggers={rng.randrange(2)}"]
    for other in others:
        if rng.random() < 0.3:
            unit += [f"{rng.choice(['Requires', 'BindsTo', 'PartOf', 'Wants'])}={other}", f"After={other}"]
    once = rng.random() < 0.25
    lines = [f"ExecStart=/bin/{'true' if once else 'sleep'} {1000 + rng.randrange(3)}"]
    lines += ["Type=oneshot"] * once + ["RemainAfterExit=yes"] * (once and rng.random() < 0.5)
    lines += ["ExecStop=/bin/true"] * (rng.random() < 0.3) + ["KillSignal=SIGINT"] * (rng.random() < 0.2)
    lines += [f"ExecReload=/bin/sh -c 'mkdir -p {RELOADS}; echo >> {RELOADS}/%n'"] * (rng.random() < 0.5)
    text = "\n".join(["[Unit]", *unit, "[Service]", *lines, ""])
    drop_ins = {"a.conf": f"[Service]\nNice={rng.randrange(3)}\n"} if rng.random() < 0.3 else {}
    return Unit(name, text, drop_ins, start=rng.random() < 0.7)


def generation(rng: random.Random) -> list[Unit]:
    units: list[Unit] = list(HELPERS)
    there: list[str] = []
    for name in SERVICES:
        if rng.random() < 0.75:
            units.append(service(rng, name, there))
            # Whatever is bound to a unit that is soon done would end with it.
            there += [name] * ("Type=oneshot" not in units[-1].text or "RemainAfterExit" in units[-1].text)
        elif rng.random() < 0.3:
            units.append(Unit(name, masked=True))
    version = rng.randrange(3)
    texts = {
        "s.socket": f"[Socket]\nListenStream=/run/s{rng.randrange(2)}\n",
        "t.timer": f"[Timer]\nOnCalendar=203{version}-01-01\n",
        "p.path": f"[Path]\nPathExists=/no/such/{version}\n",
        "g.target": f"[Unit]\nX-StopOnReconfiguration={rng.choice(['yes', 'no'])}\nX-Version={version}\n",
        "w.slice": f"[Slice]\nCPUWeight={100 + version}\n",
        "srv-m.mount": f"[Mount]\nWhat=m{rng.randrange(2)}\nWhere=/srv/m\nType=tmpfs\nOptions=size={1 + version}m\n",
    }
    units += [Unit(name, texts[name]) for name in OTHERS if rng.random() < 0.7]
    units.append(Unit("i@.service", f"[Service]\nExecStart=/bin/sleep {1000 + version}\n", start=False))
    if rng.random() < 0.5:
        units.append(Unit("i@1.service", drop_ins={"a.conf": f"[Service]\nNice={version}\n"}, start=rng.random() < 0.5))
    if rng.random() < 0.5:
        units.append(Unit("ssh.service", drop_ins={"a.conf": f"[Service]\nNice={version}\n"}, start=False))
    return units


def disturb(rng: random.Random, units: list[Unit]) -> str:
    """What somebody does by hand."""
    names = [unit.name for unit in units if unit.text and "@." not in unit.name]
    stopped = rng.sample(names, min(2, len(names)))
    return f"systemctl start i@1 i@2; systemctl start {rng.choice(names)}; systemctl stop {' '.join(stopped)}"


def expected(before: Seen, verbs: list[str], after: Seen, *, once: bool) -> str:
    """What is wrong with what happened to a unit of which the plan said this; empty: nothing."""
    verbs = [verb for verb in verbs if verb not in ("skip", "change")]
    if not verbs:
        # systemd forgets the last run of a unit that is over and that nothing refers to any more.
        is_forgotten = not (before.runs or after.runs or after.invocation)
        return "" if after == before or is_forgotten else "it was not in the plan"
    if verbs == ["reload"]:
        reloaded = (after.runs, after.invocation, after.reloads) == (True, before.invocation, before.reloads + 1)
        return "" if reloaded or (before.reloads == after.reloads == 0 and after.invocation == before.invocation) else "no reload"
    if verbs == ["stop"]:
        return "" if not after.runs else "it was not stopped"
    if verbs in (["start"], ["restart"], ["stop", "start"]):
        again = after.invocation != before.invocation or (verbs == ["start"] and before.runs)
        return "" if once or (again and after.runs) else "it was not started"
    return f"it makes no sense to {' and '.join(verbs)}"


def plan_of(controller: Controller, system: str) -> dict[str, list[str]]:
    manifest = controller.store.physical(system).joinpath("manifest.json").read_text()
    with controller.connect() as connection:
        plan: Any = connection.ask("plan", system=system, manifest=manifest, repair=False, generation=0)
    assert "error" not in plan, plan
    assert plan["problems"] == []
    return verbs_of(plan["actions"])


def verbs_of(actions: list[Mapping[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for action in actions:
        if action["kind"] == "unit":
            found.setdefault(action["target"], []).append(action["operation"])
    return found


@pytest.mark.parametrize("release", ["bullseye", "bookworm", "trixie"])
def test_what_the_plan_says_of_units_is_what_happens_to_every_unit(machines, fresh_hosts, tmp_path, release: str) -> None:
    rng = random.Random(f"{SEED} {release}")
    controller = Controller(tmp_path, machines.lab.ssh_config, fresh_hosts(1, release=release)[0])
    current, system = generation(rng), ""
    for step in range(max(2, STEPS // 3)):
        units = generation(rng)
        fails = step % 3 == 2
        following = declare(controller, *units, *([FAILS] if fails else []))
        if system:
            controller.run(disturb(rng, current))
        planned = plan_of(controller, following)
        before = look(controller)

        outcome = controller.activate(following, system)

        after = look(controller)
        told = f"step {step} of seed {SEED} on {release}: {planned}\n{current}\n{units}\n{outcome}"
        once = {unit.name for unit in units if "Type=oneshot" in unit.text and "RemainAfterExit" not in unit.text}
        if fails:
            assert outcome["state"] == "rolled-back", told
            # What was started again has pulled in what somebody had stopped.
            pulled = {unit.name for unit in current if unit.start}
            # What was left running when its definition went is stopped by a mask, and nobody can start it again.
            undefined = {*SERVICES} - {unit.name for unit in current}
            assert running(before) - undefined <= running(after) <= running(before) | pulled, told
            touched = set(planned)
        else:
            assert outcome["state"] == "healthy", told
            assert controller.confirm()["state"] == "confirmed"
            assert verbs_of(outcome["actions"]) == planned, told
            touched = set()
            current, system = units, following
        wrong = {
            name: why
            for name in {*before, *after, *planned} - touched
            for why in [expected(before.get(name, Seen()), planned.get(name, []), after.get(name, Seen()), once=name in once)]
            if why
        }
        assert wrong == {}, told
