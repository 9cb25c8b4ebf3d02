"""Connections to real servers: what works, and what each failure is called."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket

import pytest

from deployer.ssh import (
    AuthenticationFailed,
    BecomeRefused,
    ConnectionBroken,
    ConnectOptions,
    HostKeyChanged,
    HostKeyRevoked,
    HostKeyUnknown,
    IdentityUnusable,
    JumpHostFailed,
    LocalUserUnknown,
    NotSsh,
    RemoteCommandTimedOut,
    SshConfigUnusable,
    Unreachable,
    connect,
)
from deployer.ssh.route import route_to
from tests.ssh.sshd import free_port, host, keygen


async def run(target, command="echo hello", **more):
    async with await connect(target) as session:
        return await session.run(command, **{"timeout": 10, **more})


async def test_a_command_is_run_with_input_and_its_end_is_told(server):
    done = await run(server.host(), "cat; echo oops >&2; exit 3", stdin=b"x" * 300_000)

    assert (done.status, done.stdout, done.stderr) == (3, b"x" * 300_000, b"oops\n")


async def test_a_channel_is_a_conversation(server):
    async with await connect(server.host(), options=ConnectOptions()) as session:
        channel = await session.open("read a; echo got $a; cat; echo bye >&2; exit 4")
        channel.write(b"one\n")
        await channel.drain()
        first = await channel.readline()
        channel.write(b"12345678")
        channel.write_eof()
        rest = await channel.readexactly(8), await channel.read(10), await channel.readline()
        status = await channel.wait()

    assert first == b"got one\n"
    assert rest == (b"12345678", b"", b"")
    assert (status, channel.stderr_tail) == (4, "bye\n")


async def test_a_host_that_nobody_knows_is_refused_with_its_fingerprint(server, tmp_path):
    with pytest.raises(HostKeyUnknown, match="ssh-ed25519 SHA256:") as caught:
        await run(server.host(known_hosts=tmp_path / "none"))

    assert caught.value.on_host == "web1"


async def test_accept_new_remembers_a_key_and_refuses_another_one(server, start, tmp_path):
    (tmp_path / "none").write_text("")
    settings = {"known_hosts": tmp_path / "none", "host_key_policy": "accept-new", "host_key_alias": "web"}

    assert (await run(server.host(**settings))).stdout == b"hello\n"

    ours = tmp_path / "state" / "deployer" / "known_hosts"
    assert ours.read_text() == f"[web]:{server.port} {server.host_key}\n"
    assert ours.stat().st_mode & 0o777 == 0o600
    other = keygen(tmp_path / "other")
    ours.write_text(f"[web]:{server.port} {' '.join(other.with_suffix('.pub').read_text().split()[:2])}\n")
    with pytest.raises(HostKeyChanged, match=r"shows the key ssh-ed25519 SHA256:"):
        await run(server.host(**settings))


async def test_a_pinned_key_is_the_only_one(server, tmp_path):
    assert (await run(server.host(host_keys=(server.host_key,), known_hosts=tmp_path / "none"))).status == 0

    other = keygen(tmp_path / "other").with_suffix(".pub").read_text().strip()
    with pytest.raises(HostKeyChanged):
        await run(server.host(host_keys=(other,)))


async def test_a_revoked_key_is_refused(server, tmp_path):
    (tmp_path / "known").write_text(f"@revoked * {server.host_key}\n{server.known_hosts_line}")

    with pytest.raises(HostKeyRevoked, match="is revoked"):
        await run(server.host(known_hosts=tmp_path / "known"))


async def test_a_host_of_which_another_kind_of_key_is_known_has_changed(server, tmp_path):
    keygen(tmp_path / "other", "-t", "ecdsa")
    key = (tmp_path / "other.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {key[0]} {key[1]}\n")

    with pytest.raises(HostKeyChanged, match=r"shows the key ssh-ed25519 SHA256:.*; known is ecdsa"):
        await run(server.host(known_hosts=tmp_path / "known"))


async def test_a_wrong_key_is_an_authentication_failure(server, tmp_path):
    wrong = keygen(tmp_path / "wrong")

    with pytest.raises(AuthenticationFailed, match=f"refuses the login '.*' with {wrong}"):
        await run(server.host(identity_files=(wrong,)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("nonsense"), "can't be used"),
        (lambda path: keygen(path, "-N", "secret"), "it has a passphrase"),
    ],
    ids=["missing", "nonsense", "encrypted"],
)
async def test_an_identity_file_that_cannot_be_used_is_named(server, tmp_path, make, reason):
    make(tmp_path / "key")

    with pytest.raises(IdentityUnusable, match=reason):
        await run(server.host(identity_files=(tmp_path / "key",)))


async def test_a_refused_connection_is_unreachable():
    with pytest.raises(Unreachable, match="it refuses the connection"):
        await connect(host(address="127.0.0.1", port=free_port()))


async def test_a_name_that_is_not_known_is_unreachable():
    with pytest.raises(Unreachable, match="its name is not known"):
        await connect(host(address="no-such-host.invalid"))


async def test_a_silent_listener_costs_no_more_than_the_timeout():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        with pytest.raises(Unreachable, match=r"no answer within 0.3 s"):
            await connect(host(address="127.0.0.1", port=listener.getsockname()[1], connect_timeout=0.3))


async def test_what_is_no_ssh_server_is_told_without_its_escapes():
    async def speak(reader, writer):
        writer.write(b"HTTP/1.1 \x1b[2J400 Bad\r\n" * 2000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        with pytest.raises((NotSsh, Unreachable)) as caught:
            await connect(host(address="127.0.0.1", port=server.sockets[0].getsockname()[1], connect_timeout=5))

    assert "\x1b" not in str(caught.value)


async def test_a_host_behind_two_jump_hosts_is_reached(server, start):
    jumps = [start(name) for name in ("jump1", "jump2")]
    for jump in jumps:
        (jump.directory / "authorized_keys").write_bytes((server.directory / "identity.pub").read_bytes())
    target = server.host(jump=tuple(f"root@127.0.0.1:{jump.port}" for jump in jumps))
    target.connection.known_hosts.write_text("".join(one.known_hosts_line for one in [server, *jumps]))

    assert (await run(target, "echo $SSH_CONNECTION")).stdout.startswith(b"127.0.0.1 ")


async def test_a_failure_at_a_jump_host_is_told_of_that_hop(server, start):
    jump = start("jump")
    target = server.host(jump=(f"root@127.0.0.1:{jump.port}",))

    with pytest.raises(JumpHostFailed, match=r"the jump host root@127.0.0.1:\d+ can't be passed: nothing is known") as caught:
        await connect(target)

    assert isinstance(caught.value.cause, HostKeyUnknown)


async def test_a_host_that_the_jump_host_cannot_reach_is_unreachable(server):
    target = server.host(jump=(f"root@127.0.0.1:{server.port}",), port=free_port())

    with pytest.raises(Unreachable, match="the jump host does not get through"):
        await connect(target)


async def test_the_users_configuration_is_honoured(server, home):
    known = server.directory / "known_hosts"
    known.write_text(f"web {server.host_key}\n")
    config = home / "config"
    config.write_text(
        f"Host web9\n  HostName 127.0.0.1\n  Port {server.port}\n  User root\n  IdentityFile {server.identity}\n"
        f"  UserKnownHostsFile {known}\n  HostKeyAlias web\n  ForwardAgent yes\n  RemoteCommand false\n"
    )

    assert (await run(host("web9", address="web9", ssh_config=config))).stdout == b"hello\n"


async def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda user: {}[user])

    with pytest.raises(SshConfigUnusable, match=r"~/\.ssh/config can't be used: .* set HOME"):
        await connect(host(address="127.0.0.1"))


def test_a_user_without_a_name_is_told_what_to_set(home, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: {}[user])

    with pytest.raises(LocalUserUnknown, match=f"user {os.getuid()} of this machine has no name") as told:
        route_to(host(address="127.0.0.1"))

    assert told.value.remedy.startswith("Set LOGNAME ")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert route_to(host(address="127.0.0.1"))


def test_a_home_that_is_no_absolute_path_is_told(monkeypatch):
    monkeypatch.setenv("HOME", "here")

    with pytest.raises(SshConfigUnusable, match=r"~/\.ssh/config can't be used: HOME is 'here', which is no absolute path"):
        route_to(host(address="127.0.0.1"))


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_home_that_this_user_may_not_look_into_is_told(home):
    home.chmod(0o700)
    os.seteuid(12345)
    try:
        with pytest.raises(SshConfigUnusable, match="Permission denied"):
            route_to(host(address="127.0.0.1"))
    finally:
        os.seteuid(0)


async def test_turning_checks_off_in_the_configuration_does_not(server, home):
    config = home / "config"
    config.write_text("Host *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking no\n")

    with pytest.raises(HostKeyUnknown):
        await run(server.host(known_hosts=None, ssh_config=config))


async def test_a_command_that_takes_too_long_is_given_up(server):
    with pytest.raises(RemoteCommandTimedOut, match=r"`sleep 30` did not end within 0.3 s"):
        await run(server.host(), "sleep 30", timeout=0.3)


async def test_a_connection_that_is_cut_is_told(server):
    async with await connect(server.host()) as session:
        channel = await session.open("kill -9 $PPID; sleep 5")
        with pytest.raises(ConnectionBroken):
            await channel.read(1) or await channel.wait()


async def test_a_command_that_does_not_read_its_input_is_no_error(server):
    assert (await run(server.host(), "exit 5", stdin=b"x" * 5_000_000)).status == 5


async def test_a_signal_is_told_as_shells_do(server):
    assert (await run(server.host(), "kill -TERM $$")).status == 128 + 15


async def test_many_connections_at_once(server):
    target = server.host()
    (server.directory / "sshd_config").write_text((server.directory / "sshd_config").read_text())

    done = await asyncio.gather(*(run(target) for _ in range(8)))

    assert {one.stdout for one in done} == {b"hello\n"}


@pytest.fixture
def with_sudo(start, tmp_path):
    """Starts a server where `sudo` is a script."""

    def with_sudo(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "sudo").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "sudo").chmod(0o755)
        return start("server", f"SetEnv PATH={tmp_path}/bin:/usr/bin:/bin")

    return with_sudo


async def test_become_runs_commands_by_sudo(with_sudo):
    server = with_sudo('shift 3; echo "$1" "$2"; exec "$@"')

    assert (await run(server.host(become=True), 'echo "it\'s" $0')).stdout == b"sh -c\nit's sh\n"


async def test_sudo_that_wants_a_password_is_told_from_a_command_that_fails(with_sudo):
    server = with_sudo("printf 'sudo: a password is\\033[2J required\\n' >&2; exit 1")

    with pytest.raises(BecomeRefused, match=r"can't become root: sudo: a password is\\x1b") as caught:
        await run(server.host(become=True))

    assert "NOPASSWD" in caught.value.remedy
