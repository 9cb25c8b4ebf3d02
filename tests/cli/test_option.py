"""`deployer option`."""

from __future__ import annotations

from tests.cli.conftest import QUICKSTART

FLEET = ("-i", str(QUICKSTART / "inventory.yaml"))
MODULE = """\
from deployer.config import Module, types

module = Module("own", "A module of ours.")
module.option("own.word", types.word, "A word of ours.", default="x", example="y")
"""


def test_a_part_of_an_option_is_explained_whatever_its_name(deployer):
    explained = deployer("option", "systemd.services.any.name.wanted_by").out

    assert explained.startswith("### `systemd.services.any.name.wanted_by`\n\nTargets that start it")
    assert "- Type: a list" in explained
    assert "- Example: `[multi-user.target]`" in explained
    assert "modules/systemd.py:" in explained.splitlines()[-1]


def test_a_name_space_explains_all_below_it(deployer):
    explained = deployer("option", "systemd.user").out

    assert "### `systemd.user.services`" in explained
    assert "### `systemd.services`" not in explained


def test_a_wrong_part_names_the_nearest(deployer):
    answer = deployer("option", "activation.check_dedline")

    assert answer.code == 2
    assert "there is no option 'activation.check_dedline'" in answer.err
    assert "Did you mean 'activation.check_deadline'?" in answer.err


def test_on_hosts_it_has_values_with_their_places(deployer):
    answer = deployer(*FLEET, "option", "activation.check_deadline", "--on", "@web")

    assert f"On web1: 10.0 ({QUICKSTART}/web.yaml:" in answer.out
    assert "On web2: 10.0" in answer.out


def test_on_hosts_it_knows_what_their_modules_declare(deployer, tmp_path):
    work = tmp_path / "work"
    (work / "modules").mkdir()
    (work / "modules" / "own.py").write_text(MODULE)
    (work / "main.yaml").write_text("imports: own\nown: {word: z}\n")
    (work / "inventory.yaml").write_text("hosts: [a]\nconfiguration: main.yaml\n")

    assert deployer("option", "own.word").code == 2
    document = deployer("option", "own.word", "--on", "a", "--json").document

    (option,) = document["options"]
    assert option["declared"] == {"file": str(work / "modules" / "own.py"), "line": 4, "column": 0}
    assert (option["type"], option["default"], option["example"]) == ("text that is not empty, on one line", "x", "y")
    assert document["values"] == {"a": "z"}
