"""Commands that need no host."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from deployer.cli.main import COMMANDS, main
from tests.cli.conftest import QUICKSTART

FLEET = ("-i", str(QUICKSTART / "inventory.yaml"))
PACKAGE = Path(__file__).parents[2] / "deployer"
HOSTS = ["watch1", "web1", "web2"]


def test_help_lists_every_command(deployer):
    answer = deployer("--help")

    assert answer.code == 0
    assert all(f"  {name} " in answer.out for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_helps(deployer, name):
    answer = deployer(name, "-h")

    assert answer.code == 0
    assert answer.out.startswith(f"Usage: deployer {name} ")


def test_the_version_is_told(deployer):
    assert deployer("--version").out.startswith("deployer, version ")


@pytest.mark.parametrize(
    "arguments", [("plna",), ("deploy", "--onn", "x"), ("option", "a", "b"), ("history", "none"), ("--inventory",)]
)
def test_a_wrong_command_line_is_usage(deployer, arguments):
    answer = deployer(*arguments)

    assert answer.code == 2
    assert "Error: " in answer.err
    assert "Traceback" not in answer.err


def test_a_python_that_is_too_old_says_so_and_what_to_do():
    program = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_module('deployer', run_name='__main__')"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stdout) == (2, "")
    assert "needs Python 3.11 or newer" in done.stderr
    assert "deployer pack" in done.stderr
    for file in ("__init__.py", "__main__.py"):
        ast.parse((PACKAGE / file).read_text(encoding="utf-8"), feature_version=(3, 6))


def test_main_ends_the_process_with_the_code(capfd):
    with pytest.raises(SystemExit) as caught:
        main(["plna"])

    assert caught.value.code == 2


@pytest.mark.parametrize(
    "name",
    ["check", "build", "plan", "deploy", "status", "drift", "reconcile", "rollback", "inventory", "uninstall", "unlock"],
)
def test_without_an_inventory_every_command_says_so(deployer, name):
    answer = deployer(name)

    assert answer.code == 2
    assert answer.err.startswith("error: inventory.yaml: ")
    assert "\n  → " in answer.err
    assert "Traceback" not in answer.err


def test_check_evaluates_the_quickstart(deployer):
    answer = deployer(*FLEET, "check")

    assert (answer.code, answer.out) == (0, "3 hosts, 3 different systems: all is well.\n")


@pytest.mark.parametrize("arguments", [("--json", *FLEET, "check"), (*FLEET, "check", "--json")])
def test_check_as_json(deployer, arguments):
    document = deployer(*arguments).document

    assert sorted(document["hosts"]) == HOSTS
    assert all(path.startswith("/nix/store/") and path.endswith("-system") for path in document["hosts"].values())
    assert document["warnings"] == []


def test_the_environment_may_name_the_inventory(deployer, monkeypatch):
    monkeypatch.setenv("DEPLOYER_INVENTORY", str(QUICKSTART / "inventory.yaml"))

    assert deployer("check").code == 0


def test_hosts_are_selected(deployer):
    assert deployer(*FLEET, "--json", "check", "--on", "@web:!web2").document["hosts"].keys() == {"web1"}


def test_a_dry_build_builds_nothing(deployer, tmp_path):
    answer = deployer(*FLEET, "--json", "build", "--dry-run", "--on", "watch1")

    assert answer.document["built"] is False
    assert answer.document["host"] == "watch1"


def test_the_inventory_as_a_graph(deployer):
    assert deployer(*FLEET, "inventory", "--graph").out == (
        "@all:\n  |--@ungrouped:\n  |--@web:\n  |  |--web1\n  |  |--web2\n  |--@watch:\n  |  |--watch1\n"
    )


def test_the_inventory_as_a_list(deployer):
    document = deployer(*FLEET, "inventory").document

    assert document["web"]["hosts"] == ["web1", "web2"]
    assert sorted(document["_meta"]["hostvars"]) == HOSTS


def test_one_host_of_the_inventory(deployer):
    document = deployer(*FLEET, "--json", "inventory", "--host", "web1").document

    assert document["deployer_labels"] == {"canary": "yes"}
    assert document["deployer_configuration"].endswith("web.yaml")


def test_options_are_listed_and_explained(deployer):
    assert "\nsystemd.services " in deployer("option").out
    explained = deployer("option", "systemd.services")
    assert explained.out.startswith("### `systemd.services`\n")
    assert "Declared at " in explained.out


def test_an_option_that_is_none(deployer):
    answer = deployer("option", "systemd.servces")

    assert answer.code == 2
    assert "there is no option 'systemd.servces'" in answer.err
    assert "Did you mean 'systemd.services'" in answer.err


def test_the_schema_is_a_schema(deployer):
    document = json.loads(deployer("schema").out)

    jsonschema.Draft202012Validator.check_schema(document)
    assert "systemd" in document["properties"]


@pytest.mark.parametrize(
    ("shell", "text"), [("bash", "complete -o nosort"), ("zsh", "#compdef deployer"), ("fish", "complete --no-files")]
)
def test_completion_prints_a_script(deployer, shell, text):
    answer = deployer("completion", shell)

    assert answer.code == 0
    assert text in answer.out
    assert "_DEPLOYER_COMPLETE" in answer.out


def test_an_empty_history(deployer):
    assert deployer("history").code == 0
    answer = deployer("history", "7")
    assert answer.code == 2
    assert "there is no rollout 7" in answer.err


def test_nothing_to_resume(deployer):
    answer = deployer(*FLEET, "resume")

    assert answer.code == 2
    assert "Traceback" not in answer.err
