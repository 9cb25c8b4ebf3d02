"""Settings, from options and from the environment."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click
import pytest

from deployer.build.engines import EngineUnknown
from deployer.cli.building import build_settings
from deployer.cli.options import build_options, store_option
from deployer.cli.settings import BuildChoices, Settings, store_root
from deployer.cli.ssh_stores import AddressRefused, machine
from deployer.inventory.model import Connection


@pytest.fixture
def parse():
    """The settings that a command with all options would see."""

    def call(*arguments: str) -> Settings:
        seen: list[Settings] = []

        @click.command()
        @store_option
        @build_options
        @click.pass_context
        def command(context: click.Context) -> None:
            seen.append(context.obj)

        command.main(list(arguments), standalone_mode=False, obj=Settings((), as_json=False, color=False))
        return seen[0]

    return call


def test_nothing_said_is_the_default(parse, monkeypatch):
    for name in ("SUBSTITUTERS", "TRUSTED_KEYS", "SIGNATURES", "JOBS"):
        monkeypatch.delenv(f"DEPLOYER_{name}", raising=False)

    assert parse() == Settings((), as_json=False, color=False)


def test_the_environment_speaks_for_all_commands_and_an_option_goes_before_it(parse, monkeypatch):
    monkeypatch.setenv("DEPLOYER_SUBSTITUTERS", "https://a https://b")
    monkeypatch.setenv("DEPLOYER_TRUSTED_KEYS", "a:x b:y")
    monkeypatch.setenv("DEPLOYER_SIGNATURES", "2")
    monkeypatch.setenv("DEPLOYER_JOBS", "3")

    assert parse().build == BuildChoices(("https://a", "https://b"), ("a:x", "b:y"), signatures=2, jobs=3)
    found = parse("--substituter", "file:///c", "-j", "1", "-k", "-K", "--store-root", "/x")
    assert found.build == BuildChoices(("file:///c",), ("a:x", "b:y"), 2, 1, keep_going=True, keep_failed=True)
    assert found.store_root == Path("/x")


def test_a_user_without_a_home_is_told_what_may_be_set(deployer, monkeypatch, tmp_path):
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: {}[user])

    told = deployer("store", "gc")

    assert told.code == 2
    assert f"user {os.getuid()} has no home directory" in told.err
    assert "Set HOME, or XDG_DATA_HOME" in told.err
    (tmp_path / "file").touch()
    assert deployer("store", "add", str(tmp_path / "file"), "--store-root", "store").code == 0


@pytest.mark.parametrize(
    ("variable", "others"), [("HOME", ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")), ("XDG_DATA_HOME", ())]
)
def test_a_home_that_would_be_another_one_in_each_directory_is_refused(deployer, monkeypatch, tmp_path, variable, others):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "here")
    for name in others:
        monkeypatch.delenv(name, raising=False)

    told = deployer("store", "gc")

    assert told.code == 2
    assert f"{variable} is 'here', which is no absolute path" in told.err
    assert f"Set {variable} to a path that begins with /." in told.err
    assert not (tmp_path / "here").exists()


def test_limits_of_builds_are_said_as_people_write_amounts(parse):
    found = parse("--timeout", "2h", "--max-silent-time", "90s", "--max-build-log-size", "1G").build

    assert (found.timeout, found.silence_timeout, found.log_limit) == (7200, 90, 1 << 30)
    assert build_settings(found).timeout == 7200
    assert build_settings(BuildChoices()).timeout == 3600


@pytest.mark.parametrize("arguments", [("-j", "0"), ("-j", "many"), ("--signatures", "0")])
def test_wrong_numbers_are_usage(parse, arguments):
    with pytest.raises(click.UsageError):
        parse(*arguments)


@pytest.mark.parametrize(
    ("values", "root"),
    [
        ({"DEPLOYER_STORE_ROOT": "/x", "XDG_DATA_HOME": "/y"}, "/x"),
        ({"XDG_DATA_HOME": "/y"}, "/y/deployer/root"),
        ({"HOME": "/z"}, "/z/.local/share/deployer/root"),
    ],
)
def test_where_the_store_lies(monkeypatch, values, root):
    for name in ("DEPLOYER_STORE_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    assert store_root() == Path(root)


@pytest.mark.parametrize(
    ("address", "options", "connection"),
    [
        ("ssh://build1", {}, Connection("build1")),
        ("ssh://me@build1:2222", {"become": ""}, Connection("build1", 2222, "me", become=True)),
        ("ssh://[::1]", {"ssh-key": "/key", "become": "false"}, Connection("::1", identity_files=(Path("/key"),))),
    ],
)
def test_a_machine_is_named_by_its_address(address, options, connection):
    assert machine(address, options).connection == connection


@pytest.mark.parametrize(
    "address", ["ssh://", "http://x", "ssh://a:pw@b", "ssh://x:port", "ssh://-oProxyCommand=x", "ssh://x/path"]
)
def test_what_is_no_address_of_a_machine_is_refused(address):
    with pytest.raises(AddressRefused):
        machine(address, {})


def test_a_builder_is_opened_or_refused(parse):
    nix, machine = build_settings(parse("--builder", "nix?jobs=3", "--builder", "ssh://me@there:22?jobs=2").build).engines
    assert (nix.jobs, machine.jobs) == (3, 2)
    with pytest.raises(EngineUnknown):
        build_settings(parse("--builder", "farm").build)
