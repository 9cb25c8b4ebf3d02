"""Becoming root by a sudo that asks for a password; here sudo is a script."""

from __future__ import annotations

import asyncio
import copy
import pickle
import traceback

import pytest

from deployer.ssh import (
    BecomePassword,
    BecomePasswordWrong,
    BecomeRefused,
    BecomeSilent,
    ConnectOptions,
    GateMissing,
    GateOnly,
    becoming,
    connect,
)

SECRET = "canary-5f1d 'quoted' \\ $HOME"
ASKS = """\
tries=0
while :; do
  printf '%s' "$prompt" >&2
  read -r word || exit 1
  echo asked >>"$0.asked"
  [ "$word" = "$right" ] && break
  tries=$((tries + 1))
  [ $tries = 3 ] && { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
  echo 'Sorry, try again.' >&2
done
exec "$@"
"""


@pytest.fixture
def with_sudo(start, tmp_path):
    """Starts a server whose `sudo` has the prompt in `$prompt` and the command in `$@`."""

    def with_sudo(script, name="server"):
        directory = tmp_path / f"{name}-bin"
        directory.mkdir()
        (directory / "right").write_text(SECRET + "\n")
        head = f"#!/bin/sh\nIFS= read -r right <{directory}/right\n[ \"$1 $2 $3\" = '-H -S -p' ] || exit 99\nprompt=$4; shift 5\n"
        (directory / "sudo").write_text(head + script)
        (directory / "sudo").chmod(0o755)
        return start(name, f"SetEnv PATH={directory}:/usr/bin:/bin")

    return with_sudo


def asked(server, name="server"):
    file = server.directory.parent / f"{name}-bin" / "sudo.asked"
    return len(file.read_text().splitlines()) if file.exists() else 0


FREEZES = "printf '%s' \"$prompt\" >&2; read -r word; read -r nothing\n"


async def run(host, command="cat", *, password=None, stdin=b"", options=None):
    options = options or ConnectOptions(become_password=BecomePassword(password or SECRET))
    async with await connect(host, options) as session:
        return await session.run(command, stdin=stdin, timeout=20)


async def test_the_password_goes_to_sudo_and_what_follows_to_the_command(with_sudo):
    server = with_sudo(ASKS)

    ended = await run(server.host(become=True), "cat; echo problem >&2; exit 3", stdin=b"input\n")

    assert (ended.status, ended.stdout, ended.stderr) == (3, b"input\n", b"problem\n")


async def test_a_sudo_that_asks_for_nothing_is_told_nothing(with_sudo):
    server = with_sudo('exec "$@"\n')

    assert (await run(server.host(become=True), stdin=b"input\n")).stdout == b"input\n"


async def test_a_wrong_password_is_tried_once(with_sudo):
    server = with_sudo(ASKS)

    with pytest.raises(BecomePasswordWrong, match="did not take the password"):
        await run(server.host(become=True), password="guess")

    assert asked(server) == 1


async def test_a_wrong_password_is_tried_on_one_host_of_many(with_sudo):
    servers = [with_sudo(ASKS, f"server{number}") for number in range(4)]
    options = ConnectOptions(become_password=BecomePassword("guess"))

    ended = await asyncio.gather(
        *(run(server.host(f"web{number}", become=True), options=options) for number, server in enumerate(servers)),
        return_exceptions=True,
    )

    assert [type(error) for error in ended] == [BecomePasswordWrong] * 4
    assert sum(asked(server, f"server{number}") for number, server in enumerate(servers)) == 1
    assert sum("was not tried here" in str(error) for error in ended) == 3


async def test_a_right_password_is_told_to_all(with_sudo):
    servers = [with_sudo(ASKS, f"server{number}") for number in range(3)]
    options = ConnectOptions(become_password=BecomePassword(SECRET))

    ended = await asyncio.gather(*(run(server.host(become=True), "echo root", options=options) for server in servers))

    assert [one.stdout for one in ended] == [b"root\n"] * 3


async def test_one_who_may_not_use_sudo_is_told_so_and_others_go_on(with_sudo):
    refusing = with_sudo(ASKS.replace('exec "$@"', "echo 'sudo: alice is not in the sudoers file.' >&2; exit 1"), "refusing")
    willing = with_sudo(ASKS, "willing")
    options = ConnectOptions(become_password=BecomePassword(SECRET))

    with pytest.raises(BecomeRefused, match="is not in the sudoers file"):
        await run(refusing.host(become=True), options=options)
    assert (await run(willing.host(become=True), "echo root", options=options)).stdout == b"root\n"


async def test_a_terminal_that_sudo_wants_is_told_from_a_wrong_password(with_sudo):
    server = with_sudo("echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1\n")

    with pytest.raises(BecomeRefused, match="must have a tty") as caught:
        await run(server.host(become=True))

    assert "!requiretty" in caught.value.remedy


@pytest.mark.parametrize("script", ["printf 'Verification code: ' >&2; read -r code\n", "read -r nothing\n", FREEZES])
async def test_a_sudo_that_hangs_is_told_from_a_slow_command(with_sudo, monkeypatch, script):
    monkeypatch.setattr(becoming, "SUDO_TIMEOUT", 0.5)
    server = with_sudo(script)

    with pytest.raises(BecomeSilent):
        await run(server.host(become=True))


async def test_a_command_that_is_slow_to_speak_is_waited_for(with_sudo, monkeypatch):
    monkeypatch.setattr(becoming, "SUDO_TIMEOUT", 2.0)
    server = with_sudo(ASKS)

    assert (await run(server.host(become=True), "sleep 3; echo late")).stdout == b"late\n"


async def test_no_error_and_no_description_of_it_holds_the_password(with_sudo):
    server = with_sudo('printf \'%s\' "$prompt" >&2; IFS= read -r word; echo "sudo: so it is $word" >&2; exit 1\n')
    password = BecomePassword(SECRET)

    with pytest.raises(BecomeRefused, match="so it is") as caught:
        await run(server.host(become=True), options=ConnectOptions(become_password=password))

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "canary" not in shown + repr(ConnectOptions(become_password=password)) + str(caught.value)
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            leak(password)


async def test_a_gate_is_asked_by_its_word_only(start):
    server = start("server", 'ForceCommand echo "$SSH_ORIGINAL_COMMAND"')

    async with await connect(server.host(gate=True, become=True)) as session:
        assert (await session.run("deployer-gate", timeout=10)).stdout == b"deployer-gate\n"
        with pytest.raises(GateOnly, match="can't run `id`"):
            await session.run("id", timeout=10)


async def test_a_host_without_a_gate_is_told_how_to_get_one(server):
    async with await connect(server.host(gate=True)) as session:
        with pytest.raises(GateMissing, match="not found") as caught:
            await session.run("deployer-gate", timeout=10)

    assert "deployer host-access" in caught.value.remedy
