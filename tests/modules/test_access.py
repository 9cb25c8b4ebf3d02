"""Who comes in, and what they may: sshd, keys, sudo."""

from __future__ import annotations

import pytest

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUMZLdXzeKCVXxOqI2MVdTrzTFBP2k2vB7dSbzwtJ0w alice"
DROP_IN = "ssh/sshd_config.d/00-deployer.conf"


def test_settings_of_the_server_are_a_file_that_reloads_it(directory):
    config = directory.evaluate(
        "sshd: {ports: [22, 2222], password_authentication: false, permit_root_login: prohibit-password, "
        "allow_groups: [wheel, ops], settings: {MaxAuthTries: 3, AcceptEnv: [LANG, TZ], X11Forwarding: false}}\n"
    )

    assert config.get("etc")[DROP_IN]["text"].splitlines() == [
        "Port 22",
        "Port 2222",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "AllowGroups wheel ops",
        "AcceptEnv LANG",
        "AcceptEnv TZ",
        "MaxAuthTries 3",
        "X11Forwarding no",
    ]
    assert "X-Reload-Triggers=ssh/sshd_config.d/00-deployer.conf:" in str(config.get("systemd.units")["ssh.service"]["drop_ins"])
    assert {name: one["port"] for name, one in config.get("ports").items()} == {"sshd": 22, "sshd-2222": 2222}


def test_keys_are_real_files_below_etc(directory):
    config = directory.evaluate(f"users: {{alice: {{}}}}\nauthorized_keys: {{alice: [{KEY}], root: [{KEY}]}}\n")

    etc = config.get("etc")
    for account in ("alice", "root"):
        assert etc[f"ssh/authorized_keys.d/{account}"]["text"] == KEY + "\n"
        assert etc[f"ssh/authorized_keys.d/{account}"]["kind"] == "file"
    assert etc[DROP_IN]["text"].endswith("/etc/ssh/authorized_keys.d/%u\n")


def test_without_a_word_about_it_the_server_is_the_hosts(directory):
    config = directory.evaluate("users: {alice: {}}\n")

    assert config.get("etc") == {}
    assert config.get("systemd.units") == {}


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (f"authorized_keys: {{bob: [{KEY}]}}", "`authorized_keys` names 'bob', whom this configuration does not declare"),
        ("authorized_keys: {root: [hello]}", "option 'authorized_keys.root[0]' must be a public key"),
        (f'authorized_keys: {{root: ["{KEY}\\nssh-rsa AAAA"]}}', "option 'authorized_keys.root[0]' must be a public key"),
        ("sshd: {settings: {Port: 3}}", "`sshd.settings` has Port, which has an option of its own"),
        ("sshd: {settings: {Match: all}}", "`sshd.settings` can't hold Match"),
        ("sshd: {settings: {Max Tries: 3}}", "'Max Tries' can't be a name in 'sshd.settings'"),
        ("sshd: {allow_users: ['a b']}", "option 'sshd.allow_users[0]' must be a name or pattern without blanks"),
    ],
)
def test_wrong_settings_are_refused(directory, main, message):
    (error,) = directory.errors(main + "\n")

    assert error.message.startswith(message)


def test_a_rule_of_sudo_is_a_file(directory):
    config = directory.evaluate(
        "users: {alice: {}, app: {}}\n"
        "sudo:\n"
        "  rules:\n"
        "    restart: {users: [alice], groups: [ops], run_as: app, commands: ['/bin/x a=b,c', ALL], password: false}\n"
        "    all: {groups: [sudo], commands: [ALL], keep_environment: [EDITOR]}\n"
    )

    etc = config.get("etc")
    assert etc["sudoers.d/deployer-restart"]["text"] == "alice, %ops ALL=(app) NOPASSWD: /bin/x a\\=b\\,c, ALL\n"
    assert etc["sudoers.d/deployer-all"]["text"] == 'Defaults:%sudo env_keep += "EDITOR"\n%sudo ALL=(root) ALL\n'


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("a: {commands: [ALL]}", "sudo rule 'a' names nobody"),
        ("a: {groups: [ops]}", "sudo rule 'a' allows nothing"),
        ("a: {users: [bob], commands: [ALL]}", "sudo rule 'a' names 'bob', whom this configuration does not declare"),
        ("a.b: {groups: [ops], commands: [ALL]}", "'a.b' can't be a name in 'sudo.rules'"),
        ("a: {groups: [ops], commands: [reboot]}", "option 'sudo.rules.a.commands[0]' must be an absolute path"),
        ("a: {groups: ['ops, ALL'], commands: [ALL]}", "option 'sudo.rules.a.groups[0]' must be the name of an account"),
    ],
)
def test_wrong_rules_are_refused(directory, rule, message):
    (error,) = directory.errors(f"sudo: {{rules: {{{rule}}}}}\n")

    assert error.message.startswith(message)
