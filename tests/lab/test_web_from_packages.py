"""nginx and HAProxy of locked sets on hosts of other releases: they serve the host's files, and reload without a break."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.generation.programs import starter_of
from deployer.packages import PackageSet
from deployer.packages.derivation_inputs import Made
from deployer.packages.recipes import DebianRecipe
from deployer.store import Store
from tests.lab.built_packages import build_packages
from tests.lab.fleet import Fleet
from tests.lab.mapped import mapped_outside
from tests.lab.standing import shell

SMALL = {"kind": "debian", "omit": ["documentation", "translations", "character_sets"]}
PROGRAMS = {"nginx": "nginx-light", "haproxy": "haproxy"}
PACKAGES: dict[str, Any] = {
    f"{program}-{suite}": {**SMALL, "suite": suite, "packages": [package]}
    for suite in ("bookworm", "trixie")
    for program, package in PROGRAMS.items()
}
LARGE = 32 << 20
FILES = f"""
mkdir -p /srv/www /etc/certificates
echo first >/srv/www/index.html
head -c {LARGE} /dev/zero >/srv/www/large
cd /etc/certificates
openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=secure.example -keyout key.pem -out chain.pem 2>/dev/null
cat chain.pem key.pem >both.pem
"""
APPLICATION = """
import os
import socket

server = socket.socket(socket.AF_UNIX)
server.bind("/run/application/socket")
os.chmod("/run/application/socket", 0o666)
server.listen()
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\napplication")
    connection.close()
"""
"""Its directory goes and comes with it."""


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the sets and their starters, and where their file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("web"), Store(store_with_pythons)
    (directory / "pages").mkdir()
    (directory / "pages/index.html").write_text("pages\n")

    def starters(packages: PackageSet) -> Iterator[Made]:
        for name, recipe in packages.recipes.items():
            if name in PACKAGES and isinstance(recipe, DebianRecipe):
                program = f"/usr/sbin/{name.partition('-')[0]}"
                yield starter_of(packages, recipe, packages.made(name), program, store.store_dir)

    build_packages(machines, store, directory, PACKAGES, also=starters)
    return store, directory


def configuration(suite: str, *, nginx: str = "", haproxy: str = "") -> dict[str, Any]:
    """The same but for these lines."""
    locations = {"/late/": {"root": "/var/www"}, "/application/": {"proxy": "http://unix:/run/application/socket:/"}}
    secure = {"certificate": "/etc/certificates/chain.pem", "key": "/etc/certificates/key.pem", "root": "/srv/www"}
    return {
        "services": {
            "nginx": {
                "package": f"${{pkgs.nginx-{suite}}}",
                "settings": nginx,
                "sites": {
                    "files.example": {"port": 8080, "root": "/srv/www", "locations": locations},
                    "secure.example": {"port": 8443, **secure},
                },
            },
            "haproxy": {
                "package": f"${{pkgs.haproxy-{suite}}}",
                "global_settings": "stats socket /run/haproxy/admin.sock",
                "frontends": {
                    "plain": {"port": 8000, "backend": "nginx", "settings": haproxy},
                    "secure": {"port": 8444, "backend": "nginx", "certificate": "/etc/certificates/both.pem"},
                },
                "backends": {"nginx": {"servers": ["127.0.0.1:8080"], "check": "/"}},
            },
        },
        "static_sites": {"pages.example": {"source": "./pages", "port": 8082}},
        "systemd": {
            "services": {
                "application": {
                    "wanted_by": ["multi-user.target"],
                    "service": {"ExecStart": ["/usr/bin/python3 /root/application.py"], "RuntimeDirectory": "application"},
                }
            }
        },
    }


def begun(address: str, port: int) -> socket.socket:
    """A connection by which something large comes, of which little was read."""
    connection = socket.create_connection((address, port), timeout=60)
    connection.sendall(b"GET /large HTTP/1.0\r\nHost: files.example\r\n\r\n")
    assert connection.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
    return connection


def rest_of(connection: socket.socket) -> int:
    """How many bytes of it there were in the end."""
    with connection, connection.makefile("rb") as stream:
        return len(stream.read().partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(("release", "suite"), [("bullseye", "trixie"), ("trixie", "bookworm"), ("bookworm", "trixie")])
def test_a_web_server_and_a_load_balancer_of_sets_serve_the_hosts_files_and_reload_without_a_break(
    machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch, release: str, suite: str
):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    (host,) = fresh_hosts(1, release=release)
    fleet = Fleet(directory, machines.lab, host)
    fleet.packages = PACKAGES
    packages = PackageSet.load(directory / "packages.yaml")

    def on(command: str) -> str:
        return shell(machines.lab, host, command)

    def ask(url: str, *arguments: str) -> str:
        return on(shlex.join(["curl", "-sSk", "--max-time", "10", *arguments, url]))

    def main_processes() -> str:
        return on("systemctl show -p MainPID --value nginx haproxy")

    on(FILES)
    on(f"echo {shlex.quote(APPLICATION)} >/root/application.py")
    fleet.configure(configuration(suite))
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    assert on("ls /usr/sbin/nginx /usr/sbin/haproxy 2>/dev/null; true") == ""
    for url in ("http://127.0.0.1:8080", "https://127.0.0.1:8443", "http://127.0.0.1:8000", "https://127.0.0.1:8444"):
        assert ask(f"{url}/") == "first", url
    assert ask("http://127.0.0.1:8082/") == "pages"
    assert on("test -S /run/haproxy/admin.sock && echo yes") == "yes"
    for program in PROGRAMS:
        root = packages.output_path(f"{program}-{suite}")
        assert on(f"find {root} -newermt 1971-01-01") == "", program
        for child in ("", program):
            assert mapped_outside(machines.lab, host, root, service=program, child=child) == [], program

    # What comes after the start is seen, too.
    assert "404" in ask("http://127.0.0.1:8080/late/")
    on("mkdir -p /var/www/late; echo late >/var/www/late/index.html; systemctl restart application")
    assert ask("http://127.0.0.1:8080/late/") == "late"
    assert ask("http://127.0.0.1:8080/application/", "-f", "--retry", "9", "--retry-all-errors") == "application"

    before, open_ones = main_processes(), [begun(host.address, port) for port in (8080, 8000)]
    fleet.configure(
        configuration(suite, nginx="add_header x-nginx changed;", haproxy="http-response set-header x-haproxy changed")
    )
    changed = fleet.deploy()
    assert changed.exit_code == 0, changed.text
    headers = ask("http://127.0.0.1:8000/", "-i")
    assert "x-nginx: changed" in headers
    assert "x-haproxy: changed" in headers
    assert main_processes() == before
    assert [rest_of(connection) for connection in open_ones] == [LARGE, LARGE]

    fleet.configure(configuration(suite, nginx="no_such_directive on;", haproxy="no such line"))
    refused = fleet.deploy()
    assert refused.exit_code == 1
    assert "nginx of this host refuses it" in refused.text
    assert "haproxy of this host refuses it" in refused.text
    assert main_processes() == before
    assert on("systemctl is-system-running") == "running"
