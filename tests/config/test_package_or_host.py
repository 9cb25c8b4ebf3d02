"""A service whose program is a package of ours or the host's own: what the host must have, and whose account is made."""

from __future__ import annotations

import pytest

MODULE = '''
"""A service to try."""

from deployer.config import Module, types

module = Module("own", "A service to try.")
module.option("services.own.package", types.null_or(types.package_or_host), "Its program.", default=None)
module.option("services.bare.package", types.null_or(types.package_or_host), "Another one's.", default=None)


@module.package_or_host("services.own", users={"own": {"description": "Own", "shell": "/bin/sh"}})
def programs(config):
    return ["/usr/bin/own", "/usr/bin/own-check"]


@module.package_or_host("services.bare")
def program(config):
    return ["/usr/bin/own"]
'''


@pytest.fixture
def evaluate(directory):
    def evaluate(text):
        return directory.evaluate(f"imports: [own]\n{text}", **{"modules__own.py": MODULE})

    return evaluate


def test_of_a_service_that_is_not_there_nothing_is_needed(evaluate):
    config = evaluate("")

    assert [config.get(path) for path in ("requires.paths", "requires.accounts", "users")] == [{}, {}, {}]


def test_the_hosts_own_needs_its_programs_and_its_account(evaluate):
    config = evaluate("services: {own: {package: host}, bare: {package: host}}\n")

    own, both = ["`services.own`"], ["`services.own`", "`services.bare`"]
    assert config.get("requires.paths") == {"/usr/bin/own": both, "/usr/bin/own-check": own}
    assert config.get("requires.accounts") == {"own": own}
    assert config.get("users") == {}


def test_for_a_package_of_ours_the_user_is_made(evaluate):
    config = evaluate('services: {own: {package: "${pkgs.hello}"}, bare: {package: "${pkgs.hello}"}}\n')

    assert [config.get(path) for path in ("requires.paths", "requires.accounts")] == [{}, {}]
    assert {*config.get("users")} == {"own"}
    assert (config.get("users")["own"]["description"], config.get("users")["own"]["shell"]) == ("Own", "/bin/sh")


def test_users_may_say_more_of_that_user(evaluate):
    config = evaluate('services: {own: {package: "${pkgs.hello}"}}\nusers: {own: {uid: 700}}\n')

    assert (config.get("users")["own"]["uid"], config.get("users")["own"]["shell"]) == (700, "/bin/sh")
