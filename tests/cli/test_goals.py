"""Goals on the command line, and in saved plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployer.cli.plan_file import PlanFileRefused, SavedPlan, read_plan, write_plan
from deployer.formats.goals import Goal
from deployer.formats.messages import Plan

HOSTS = "hosts: {web1: }\nconfiguration: main.yaml\n"
PLANS = {"web1": Plan("/nix/store/new", "/nix/store/old", 2)}


def test_each_goal_says_what_runs_now_and_what_after_the_next_boot() -> None:
    answers = {str(goal): (goal.activates_now, goal.survives_reboot, goal.activates) for goal in Goal}

    assert answers == {
        "switch": (True, True, True),
        "boot": (False, True, True),
        "test": (True, False, True),
        "push": (False, False, False),
        "dry": (False, False, False),
    }
    assert [Goal.parse(""), Goal.parse("boot"), Goal.parse("bot")] == [Goal.SWITCH, Goal.BOOT, None]


def test_a_saved_plan_keeps_its_goal_and_no_version_without_goals_carries_it_out(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"

    write_plan(path, SavedPlan(PLANS))
    assert json.loads(path.read_text())["format"] == 1
    assert read_plan(path) == SavedPlan(PLANS)

    write_plan(path, SavedPlan(PLANS, Goal.BOOT, reboot=True))
    assert json.loads(path.read_text())["format"] == 2
    assert read_plan(path) == SavedPlan(PLANS, Goal.BOOT, reboot=True)

    path.write_text(path.read_text().replace('"boot"', '"bot"'))
    with pytest.raises(PlanFileRefused):
        read_plan(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--goal", "test", "--reboot"), "the goal is test"),
        (("--goal", "push", "--reboot"), "the goal is push"),
        (("plan.json", "--goal", "test"), "plan.json was made for the goal boot"),
        (("plan.json", "--reboot"), "plan.json was made for the goal boot"),
        (("--goal", "bot"), "'bot' is not one of"),
    ],
)
def test_goals_that_contradict_each_other_are_refused_before_anything_is_asked(deployer, arguments, words):
    Path("inventory.yaml").write_text(HOSTS)
    Path("main.yaml").write_text("etc: {}\n")
    write_plan(Path("plan.json"), SavedPlan(PLANS, Goal.BOOT))

    answer = deployer("deploy", *arguments)

    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err
