"""What `deployer host-access` prints."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from deployer.cli.main import program
from deployer.copy.bootstrap import SCRIPT
from deployer.copy.gate import PATH, Access, KeyUnreadable, LoginRefused

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ0xJ"


@pytest.mark.parametrize("login", ["", "root", "-l", "a b", "ALL", "%sudo", "a,b", "a\nb", "#0", "a" * 33, "a;id", "$(id)", "ä"])
def test_a_login_that_could_mean_more_in_a_rule_is_refused(login: str):
    with pytest.raises(LoginRefused):
        Access.of(login, KEY, "key.pub")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "nonsense",
        f'command="id" {KEY}',
        f"{KEY} a\n{KEY} b\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        f"{KEY} \x1b[2J",
        "ssh-rsa",
    ],
)
def test_what_is_not_one_public_key_is_refused(key: str):
    with pytest.raises(KeyUnreadable):
        Access.of("deploy", key, "key.pub")


def test_the_rule_and_the_line_name_one_command_without_arguments():
    access = Access.of("deploy", f"{KEY} alice@laptop\n", "key.pub")

    assert access.sudoers.splitlines()[-1] == f'deploy ALL=(root) NOPASSWD: {PATH} ""'
    assert access.authorized_keys == f'restrict,command="{PATH}" {KEY} alice@laptop\n'
    assert access.gate.endswith(SCRIPT)


def test_shells_can_read_the_scripts():
    access = Access.of("deploy", KEY, "key.pub")

    for script in (access.gate, access.script):
        for shell in ("sh", "bash"):
            assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


def test_each_piece_is_printed_alone_and_without_an_inventory(tmp_path):
    (tmp_path / "key.pub").write_text(KEY + "\n")
    access = Access.of("deploy", KEY, "")

    for part in ("script", "gate", "sudoers", "authorized-keys"):
        ended = CliRunner().invoke(
            program, ["host-access", "--user", "deploy", "--key", str(tmp_path / "key.pub"), "--part", part]
        )
        assert ended.output == getattr(access, part.replace("-", "_"))
