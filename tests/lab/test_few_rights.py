"""Logins that are not root: a key that deploys and does nothing else, and a sudo that asks for a password."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet
from tests.lab.standing import shell

CANARY = "canary-7c1e55 'it is' \\ $SECRET"
GREETING = {"etc": {"greeting": {"text": "hello\n"}}}


@pytest.fixture
def gated(machines, fresh_host: LabHost, tmp_path: Path) -> Fleet:
    """A fleet of one host, at which what `deployer host-access` prints was run by root."""
    fleet = Fleet(tmp_path, machines.lab, fresh_host)
    fleet.configure(GREETING)
    key = tmp_path / "deploy-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "it's ours", "-f", key], check=True)
    fleet.connections = {fresh_host.name: {"user": "deploy", "gate": True, "identity_files": [str(key)]}}
    printed = fleet.run("-i", "inventory.yaml", "host-access", fresh_host.name)
    assert printed.exit_code == 0, printed.text
    (fresh_host.disk / "root/root/access.sh").write_text(printed.stdout)
    for _ in range(2):
        assert shell(machines.lab, fresh_host, "sh /root/access.sh && echo done") == "done"
    return fleet


def ssh(fleet: Fleet, *arguments: str, program: str = "ssh", stdin: str = "") -> subprocess.CompletedProcess[str]:
    """OpenSSH with the gated key."""
    options = ["-F", str(fleet.lab.ssh_config), "-i", str(fleet.directory / "deploy-key"), "-o", "IdentitiesOnly=yes"]
    return subprocess.run([program, *options, *arguments], check=False, capture_output=True, text=True, timeout=60, input=stdin)


def test_a_login_with_a_gate_deploys_and_its_key_does_nothing_else(gated: Fleet):
    host, lab = gated.hosts[0], gated.lab
    login, before = f"deploy@{host.name}", shell(lab, host, "ls -a /home/deploy /tmp /etc")

    for arguments in ((), ("id",), ("sh",), ("deployer-gate", "x"), ("deployer-gate;id",), ("-t", "id")):
        refused = ssh(gated, *(arguments[:1] if arguments[:1] == ("-t",) else ()), login, *(a for a in arguments if a != "-t"))
        assert refused.returncode == 126, arguments
        assert "this key is for deployments only" in refused.stdout + refused.stderr
        assert "uid=" not in refused.stdout
    (gated.directory / "file").write_text("x")
    for program, more in (("scp", ("-O",)), ("scp", ("-s",)), ("sftp", ())):
        source = (str(gated.directory / "file"), f"{login}:/tmp/file") if program == "scp" else (login,)
        assert ssh(gated, *more, *source, program=program, stdin="put file /tmp/file\n").returncode != 0
    forwarded = ssh(gated, "-W", "127.0.0.1:22", login)
    assert forwarded.returncode != 0
    assert "SSH-2.0" not in forwarded.stdout
    tunnel = ssh(gated, "-o", "ExitOnForwardFailure=yes", "-R", "18022:127.0.0.1:22", login, "deployer-gate")
    assert "remote port forwarding failed" in tunnel.stderr
    assert shell(lab, host, "ls -a /home/deploy /tmp /etc") == before

    deployed = gated.deploy()
    assert deployed.exit_code == 0, deployed.text
    assert shell(lab, host, "cat /etc/greeting") == "hello"
    assert gated.run("status").exit_code == 0
    refused_command = gated.run("exec", "id")
    assert refused_command.exit_code == 1
    assert "its login deploys and does nothing else" in refused_command.text


def test_the_sudo_rule_of_a_gate_is_for_exactly_one_command(gated: Fleet):
    host, lab = gated.hosts[0], gated.lab

    def as_login(command: str) -> str:
        return shell(lab, host, f"setpriv --reuid deploy --regid deploy --init-groups {command} </dev/null; echo ended $?")

    assert "ended 0" in as_login("sudo -n /usr/local/sbin/deployer-gate")
    for command in ("sudo -n id", "sudo -n /usr/local/sbin/deployer-gate x", "sudo -n -u games /usr/local/sbin/deployer-gate"):
        assert "a password is required" in as_login(command), command
    for file in ("/usr/local/sbin/deployer-gate", "/etc/sudoers.d/deployer", "/home/deploy/.ssh/authorized_keys"):
        assert "ended 1" in as_login(f"test -w {file}")
    hostile = "env PYTHONPATH=/tmp ENV=/tmp/x BASH_ENV=/tmp/x sudo -n /usr/local/sbin/deployer-gate"
    assert "deployer-state 1 absent" in as_login(hostile)


@contextmanager
def watching() -> Iterator[list[str]]:
    """The canary wherever a process of this machine has it in its arguments or environment, looked for all the time."""
    found, ended = list[str](), threading.Event()
    word = CANARY.split(maxsplit=1)[0].encode()

    def look() -> None:
        while not ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for part in ("cmdline", "environ"):
                    try:
                        if word in (process / part).read_bytes():
                            found.append(f"{process}/{part}: {(process / 'cmdline').read_bytes()[:200]!r}")
                    except OSError:
                        continue
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def asking(machines, fresh_host: LabHost, tmp_path: Path) -> Fleet:
    """A fleet of one host whose sudo asks for a password."""
    fleet = Fleet(tmp_path, machines.lab, fresh_host)
    on_host = f"""useradd -m -s /bin/sh alice && usermod -aG sudo alice && cp -r /root/.ssh /home/alice/ &&
chown -R alice /home/alice/.ssh && chpasswd <<'END'
alice:{CANARY}
END
echo made"""
    assert shell(machines.lab, fresh_host, on_host) == "made"
    fleet.connections = {fresh_host.name: {"user": "alice", "become": True}}
    fleet.configure(GREETING)
    return fleet


def test_a_password_for_sudo_is_used_and_shown_nowhere(asking: Fleet):
    host, log = asking.hosts[0], asking.directory / "events.jsonl"
    file = asking.write("password", CANARY + "\n")
    file.chmod(0o600)

    with watching() as found:
        deployed = asking.run("--log", str(log), "deploy", "--json", "--yes", "--become-password-file", str(file))

    assert deployed.exit_code == 0, deployed.text
    assert found == []
    assert shell(asking.lab, host, "cat /etc/greeting") == "hello"
    word = CANARY.split(maxsplit=1)[0]
    assert word not in deployed.text
    kept = [path for path in asking.directory.rglob("*") if path.is_file() and path != file]
    assert len(kept) > 10
    assert [path for path in kept if word.encode() in path.read_bytes()] == []
    assert (
        shell(asking.lab, host, f"grep -rl {word} /var/lib/deployer /nix /run/log /var/log /tmp; journalctl -q | grep {word}")
        == ""
    )


def test_a_password_for_sudo_is_asked_once_at_a_terminal_and_not_echoed(asking: Fleet):
    command = asking._command(["deploy", "--yes", "--ask-become-pass"])
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(asking.directory)
        os.execve(command[0], command, asking._environment())
    said = b""
    while b"Password for sudo on the hosts: " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, CANARY.encode() + b"\n")
    while True:
        try:
            said += os.read(terminal, 1000)
        except OSError:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    assert said.count(b"Password for sudo") == 1
    assert b"canary" not in said


def test_a_wrong_or_a_missing_password_ends_at_once_with_what_to_do(asking: Fleet, monkeypatch: pytest.MonkeyPatch):
    none = asking.run("deploy", "--yes")
    monkeypatch.setenv("DEPLOYER_BECOME_PASSWORD", "guess")
    wrong = asking.run("deploy", "--yes")

    assert (none.exit_code, wrong.exit_code) == (1, 1)
    assert "--ask-become-pass" in none.text
    assert "sudo did not take the password of 'alice'" in wrong.text
    assert "guess" not in wrong.text
    failures = shell(asking.lab, asking.hosts[0], "journalctl -q | grep -c 'authentication failure'")
    assert failures == "1"
