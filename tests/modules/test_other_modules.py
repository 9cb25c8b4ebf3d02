"""What the smaller modules declare."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.config import all_modules
from deployer.formats.manifest import Check, Timing
from deployer.records import fields_of


def test_rules_of_tmpfiles_are_a_file_too(directory):
    config = directory.evaluate("tmpfiles: {rules: [d /a, d /b]}\n")

    assert config.get("tmpfiles.rules") == ["d /a", "d /b"]
    assert config.get("etc")["tmpfiles.d/deployer.conf"]["text"] == "d /a\nd /b\n"


def test_kernel_settings_are_a_file_too_and_true_is_1(directory):
    config = directory.evaluate("sysctl: {net.ipv4.ip_forward: true, net.core.somaxconn: 4096, kernel.printk: '3 4 1 3'}\n")

    assert config.get("sysctl") == {"net.ipv4.ip_forward": "1", "net.core.somaxconn": "4096", "kernel.printk": "3 4 1 3"}
    assert config.get("etc")["sysctl.d/60-deployer.conf"]["text"] == (
        "kernel.printk = 3 4 1 3\nnet.core.somaxconn = 4096\nnet.ipv4.ip_forward = 1\n"
    )


def test_packages_are_on_everybodys_path(directory):
    config = directory.evaluate("imports: [b.yaml]\npackages: [hello]\n", b="packages: [hello, world]\n")

    assert config.get("packages") == ["hello", "world"]
    assert "/var/lib/deployer/profile/current/sw/bin" in config.get("etc")["profile.d/deployer.sh"]["text"]


def test_checks_and_times_have_the_manifests_defaults(directory):
    config = directory.evaluate("checks: {a: {kind: http, url: http://x/}}\n")

    given = config.get("checks")["a"]
    known = {field.name for field in fields_of(Check)}
    arguments: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if key in known
    }
    assert set(given) - known == {"declared", "from"}
    assert Check("a", **arguments) == Check("a", "http", url="http://x/")
    assert Timing(**config.get("activation")) == Timing()


def test_a_source_is_relative_to_the_file_that_says_it(directory):
    config = directory.evaluate("imports: [d/b.yaml]\n", d__b="etc: {a: {source: page.html}}\n", **{"d__page.html": "x"})

    assert config.get("etc")["a"]["source"] == str(directory.path / "d" / "page.html")


def test_an_owner_whom_nobody_declares_is_refused(directory):
    (error,) = directory.errors("etc: {a: {text: x, kind: file, owner: alice, group: bob}}\nusers: {bob: {}}\n")

    assert str(error).endswith(
        "main.yaml:1:39: etc entry 'a' belongs to the owner 'alice', whom this configuration does not declare"
    )


@pytest.mark.parametrize("known", ["known_accounts: [alice]", "requires: {accounts: {alice: [the file]}}", "users: {alice: {}}"])
def test_an_owner_may_be_the_hosts_own(directory, known):
    directory.evaluate(f"etc: {{a: {{text: x, kind: file, owner: alice}}}}\n{known}\n")


@pytest.mark.parametrize(
    ("validate", "message"),
    [
        ("[nft, '{file}']", "etc entry 'a': the program 'nft' of `validate` is no absolute path"),
        ("[/usr/sbin/nft, -c]", "etc entry 'a': no argument of `validate` has {file}, where the content is"),
    ],
)
def test_a_command_that_judges_a_content_is_checked(directory, validate, message):
    (error,) = directory.errors(f"etc: {{a: {{text: x, validate: {validate}}}}}\n")

    assert error.message == message


def test_what_has_no_content_is_not_judged(directory):
    (error,) = directory.errors("etc: {a: {kind: directory, validate: [/bin/true, '{file}']}}\n")

    assert error.message == "etc entry 'a' has no content that `validate` could judge"


@pytest.mark.parametrize("module", all_modules(), ids=lambda module: module.name)
def test_options_are_described_in_sentences(module):
    for option in module.options.values():
        assert option.description[0].isupper()
        assert option.description.endswith(".")
