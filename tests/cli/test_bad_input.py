"""Bad input, from the outside: exit code 2, the place, what is wrong, what to do, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

HOSTS = "hosts: {web1: }\nconfiguration: main.yaml\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n" for before, one in zip("abcdefg", "bcdefgh", strict=True)
)

BAD = [
    # what is wrong, the inventory, main.yaml, where, what is said, what to do
    ("unknown key", HOSTS, "pakages: []\n", "main.yaml:1:1", "there is no option 'pakages'", "Did you mean 'packages'?"),
    ("wrong type", HOSTS, "etc: {a: {text: 3}}\n", "main.yaml:1:17", "must be text, and is the number 3", "declared at"),
    ("no YAML", HOSTS, "etc: {a: [\n", "main.yaml:2:1", "it is not YAML", "missing quote, colon or bracket"),
    ("configuration a list", HOSTS, "[a, b]\n", "main.yaml:1:1", "is a list", ""),
    ("bomb in configuration", HOSTS, BOMB, "main.yaml:4:4", "aliases multiply this out of proportion", "fewer aliases"),
    ("unknown package", HOSTS, "packages: [hello]\n", "main.yaml:1:12", "hello", ""),
    ("unknown package in text", HOSTS, 'etc: {a: {text: "${pkgs.hello}"}}\n', "main.yaml:1:17", "hello", ""),
    ("tag that makes objects", HOSTS, "etc: !!python/object:os.system {}\n", "main.yaml:1:6", "python/object", ""),
    ("missing source", HOSTS, "etc: {a: {source: none.html}}\n", "main.yaml:1:19", "none.html", ""),
    ("missing import", HOSTS, "imports: [none.yaml]\n", "main.yaml:1:11", "none.yaml", ""),
    (
        "missing configuration",
        "hosts: {web1: }\nconfiguration: none.yaml\n",
        "",
        "inventory.yaml:2:16",
        "the file of `configuration` is missing: none.yaml",
        "Paths are relative",
    ),
    ("no configuration", "hosts: {web1: }\n", "", "inventory.yaml:1:9", "gives it no configuration", "Add `configuration: "),
    ("missing packages", HOSTS + "packages: none.yaml\n", "", "inventory.yaml:3:11", "none.yaml", "Paths are relative"),
    ("bad range", 'hosts: {"web[9:1]": }\n', "", "inventory.yaml:1:9", "is inverted: [9:1]", "Ranges look like"),
    ("duplicate key", "hosts: {web1: , web1: }\n", "", "inventory.yaml:1:17", "'web1' stands twice; first in line 1", "Keep one"),
    ("duplicate host", 'hosts: {web1: , "web[1:2]": }\n', "", "inventory.yaml:1:17", "the host 'web1' stands twice", "Keep one"),
    (
        "group cycle",
        HOSTS + "groups: {a: {children: [b]}, b: {children: [a]}}\n",
        "",
        "inventory.yaml:3:45",
        "a → b → a",
        "Remove one of these",
    ),
    ("inventory a list", "[a]\n", "", "inventory.yaml:1:1", "an inventory is a mapping, and this is a list", "key: value"),
    ("bomb in inventory", BOMB, "", "inventory.yaml:4:4", "aliases multiply this out of proportion", "fewer aliases"),
    ("key of rollout", HOSTS + "rollout: {canry: 1}\n", "", "inventory.yaml:3:11", "no key `canry`", "Did you mean `canary`?"),
    (
        "name like an option",
        'hosts: {"-oProxyCommand=x": }\n',
        "",
        "inventory.yaml:1:9",
        "can't be the name of a host",
        "A name is",
    ),
    ("port", "hosts: {web1: {connection: {port: 65536}}}\n", "", "inventory.yaml:1:35", "65536 is not a port", "1 to 65535"),
]


@pytest.mark.parametrize(
    ("inventory", "main", "place", "message", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_bad_input_is_told_with_place_and_remedy(deployer, inventory, main, place, message, remedy):
    Path("inventory.yaml").write_text(inventory)
    Path("main.yaml").write_text(main)

    answer = deployer("check")

    assert answer.code == 2
    assert answer.out == ""
    assert f"{place}: " in answer.err
    assert message in answer.err
    assert remedy in answer.err.partition("\n  → ")[2]
    assert "\n  → " in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("inventory", "main", "place"), [row[1:4] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_as_json(deployer, inventory, main, place):
    Path("inventory.yaml").write_text(inventory)
    Path("main.yaml").write_text(main)

    answer = deployer("check", "--json")

    assert answer.code == 2
    found = answer.document["place"]
    assert place == f"{Path(found['file']).name}:{found['line']}:{found['column']}"
    assert answer.document["remedy"]


@pytest.mark.parametrize("content", [b"\x80\x81", b"\0", b"", b"hosts: {a\xff: }\n"])
def test_an_inventory_of_bytes_is_no_traceback(deployer, content):
    Path("inventory.yaml").write_bytes(content)

    answer = deployer("check")

    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("{", "is not a plan"), ("[]", "is not a plan"), ('{"format": 9}', "its format is neither 1 nor 2")],
)
def test_a_plan_that_is_none_is_refused(deployer, content, reason):
    Path("inventory.yaml").write_text(HOSTS)
    Path("main.yaml").write_text("etc: {}\n")
    if content is not None:
        Path("plan.json").write_text(content)

    answer = deployer("deploy", "plan.json")

    assert answer.code == 2
    assert reason in answer.err
    assert "Make one with `deployer plan --out FILE`." in answer.err


@pytest.mark.parametrize("selector", ["", "wbe1", "!web1", "@nosuch", "web1:"])
def test_a_selector_that_picks_nothing_is_an_error(deployer, selector):
    Path("inventory.yaml").write_text(HOSTS)
    Path("main.yaml").write_text("etc: {}\n")

    answer = deployer("check", "--on", selector)

    assert answer.code == 2
    assert "\n  → " in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "option",
    [("--canary", "-1"), ("--waves", "0"), ("--max-failures", "x"), ("--on-failure", "explode"), ("--bake-time", "soon")],
)
def test_a_wrong_strategy_is_found_before_any_connection(deployer, option):
    Path("inventory.yaml").write_text(HOSTS)
    Path("main.yaml").write_text("etc: {}\n")

    answer = deployer("deploy", "--yes", *option)

    assert answer.code == 2
    assert "\n  → " in answer.err
