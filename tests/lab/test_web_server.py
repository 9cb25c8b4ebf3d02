"""The example `inventories/webserver` on a host that has the programs: deployed, changed, refused, rolled back; its data stays.

`DEPLOYER_WEB_RELEASES="bullseye bookworm trixie"` has it on each of those.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployer.lab import Lab, LabHost
from tests.lab.fleet import Run
from tests.lab.standing import shell

EXAMPLE = Path(__file__).parents[2] / "inventories" / "webserver"
RELEASES = os.environ.get("DEPLOYER_WEB_RELEASES", "bookworm").split()
POSTGRESQL = {"bullseye": 13, "bookworm": 15, "trixie": 17}
NAME = "notes.example"


@dataclass(frozen=True)
class Server:
    """The example in a directory of its own, for one host of the lab."""

    directory: Path
    lab: Lab
    host: LabHost

    def change(self, **options: Any) -> None:
        """Say more in a file that the host's configuration is made of."""
        (self.directory / "change.yaml").write_text(yaml.safe_dump({"imports": ["web.yaml"], **options}))

    def run(self, *arguments: str) -> Run:
        """`deployer`, to its end."""
        environment = {f"XDG_{name}_HOME": str(self.directory / name.lower()) for name in ("DATA", "STATE", "CACHE")}
        command = [sys.executable, "-m", "deployer", "-i", "inventory.yaml", "-i", "lab.yaml", *arguments]
        done = subprocess.run(
            command,
            check=False,
            cwd=self.directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def deploy(self) -> Run:
        """And all must be well."""
        done = self.run("deploy", "--json", "--yes")
        assert done.exit_code == 0, done.text
        return done

    def refused(self) -> str:
        """What is said of a deployment that does not begin."""
        done = self.run("deploy", "--json", "--yes")
        assert done.exit_code == 1, done.text
        return done.text

    def ask(self, path: str, body: bytes | None = None) -> str:
        """What the site answers to somebody outside."""
        request = urllib.request.Request(f"http://{self.host.address}{path}", body, {"Host": NAME})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def notes(self) -> list[str]:
        """Those that are in the database."""
        return list(json.loads(self.ask("/notes"))["notes"])

    def lets_in(self, port: int) -> bool:
        """Whether somebody outside can connect."""
        try:
            socket.create_connection((self.host.address, port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def shell(self, command: str) -> str:
        """What a command on the host prints."""
        return shell(self.lab, self.host, command)


@pytest.fixture(params=RELEASES)
def server(
    request: pytest.FixtureRequest, machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path
) -> Server:
    """Nothing is deployed yet; what the backups' password is, only the host knows."""
    (host,) = fresh_hosts(1, release=request.param, base="web")
    directory = tmp_path / "webserver"
    shutil.copytree(EXAMPLE, directory)
    connection = yaml.safe_load(machines.lab.inventory.read_text())["hosts"][host.name]["connection"]
    own = {"connection": connection, "configuration": "change.yaml", "vars": {"postgresql": POSTGRESQL[request.param]}}
    inventory = yaml.safe_load((directory / "inventory.yaml").read_text())
    inventory["hosts"]["web1"].pop("configuration")
    (directory / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    (directory / "lab.yaml").write_text(yaml.safe_dump({"hosts": {"web1": own}}))
    made = Server(directory, machines.lab, host)
    made.shell("umask 077; head -c 24 /dev/urandom | base64 >/root/backup.key")
    made.change()
    return made


def test_a_web_server_is_deployed_changed_refused_and_rolled_back_with_its_data(server: Server) -> None:
    assert "host use /usr/sbin/nginx" in server.run("plan").text
    server.deploy()

    assert "<h1>Notes</h1>" in server.ask("/")
    server.ask("/notes", b"one")
    assert {port: server.lets_in(port) for port in (22, 80, 9100, 5432, 6379, 8000)} == {
        **dict.fromkeys((22, 80, 9100), True),
        **dict.fromkeys((5432, 6379, 8000), False),
    }
    assert "node_load1" in urllib.request.urlopen(f"http://{server.host.address}:9100/metrics", timeout=10).read().decode()
    assert "NOPASSWD: /bin/systemctl restart notes.service" in server.shell("sudo -l -U alice")
    assert server.shell("systemctl start backup-notes.service; systemctl show -P Result backup-notes.service") == "success"
    restore = "RESTIC_REPOSITORY=/var/backups/notes RESTIC_PASSWORD_FILE=/root/backup.key restic dump latest"
    assert "one" in server.shell(f"{restore} /var/lib/postgresql-$(ls /usr/lib/postgresql)/notes.sql")
    assert server.shell("systemctl is-system-running") == "running"

    # Nobody but the controller is let in by SSH any more, and what runs takes up its changes.
    (server.directory / "public" / "index.html").write_text("<h1>More notes</h1>\n")
    server.change(
        sshd={"open": False}, services={"redis": {"settings": {"maxclients": 100}}}, jobs={"more": {"command": ["/bin/true"]}}
    )
    server.deploy()

    assert "<h1>More notes</h1>" in server.ask("/")
    server.ask("/notes", b"two")
    assert server.notes() == ["one", "two"]
    rules = server.shell("nft list chain inet deployer input")
    assert "tcp dport 22 accept" not in rules
    assert "tcp dport 80 accept" in rules
    assert server.lets_in(22)

    before = server.shell("readlink /var/lib/deployer/profile/current")
    server.change(services={"nginx": {"settings": "no_such_directive on;\n"}}, firewall={"rules": "ip saddr nonsense accept\n"})
    refusal = server.refused()
    assert "nginx of this host refuses it" in refusal
    assert "no_such_directive" in refusal
    assert "nft of this host refuses it: /etc/firewall/rules.nft" in refusal
    assert server.shell("readlink /var/lib/deployer/profile/current") == before

    done = server.run("rollback", "--json")
    assert done.exit_code == 0, done.text
    assert "<h1>Notes</h1>" in server.ask("/")
    assert server.notes() == ["one", "two"]
    assert "tcp dport 22 accept" in server.shell("nft list chain inet deployer input")
    server.ask("/notes", b"three")
    assert server.notes() == ["one", "two", "three"]
    assert server.run("drift").exit_code == 0

    done = server.run("uninstall", "--yes", "--on", "web1")
    assert done.exit_code == 0, done.text
    assert server.shell("systemctl is-active nginx redis-server prometheus-node-exporter postgresql") == "active\n" * 3 + "active"
    assert server.shell("systemctl list-units --state=running --no-legend --plain 'postgresql@*' | wc -l") == "1"
    assert server.shell("nft list ruleset; systemctl is-system-running") == "running"
    assert server.shell("cat /var/lib/postgresql-*/data/PG_VERSION") == server.shell("ls /usr/lib/postgresql")
