"""A whole web server from locked packages, on hosts of three releases that have none of it: deployed, upgraded, rolled back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from deployer.packages import PackageSet
from deployer.store import Store
from tests.lab.built_packages import build_packages
from tests.lab.fleet import Fleet
from tests.lab.mapped import mapped_outside
from tests.lab.standing import shell

FILES = "https://files.python" + "hosted.org/"
LOCK = Path(__file__).with_name("fastapi.pylock.toml").read_text(encoding="utf-8").replace("https://FILES/", FILES)
SMALL = {"kind": "debian", "omit": ["documentation", "translations", "character_sets"]}
PACKAGES: dict[str, Any] = {
    "nginx": {"kind": "debian", "suite": "bullseye", "packages": ["nginx-light"]},
    "nginx-next": {**SMALL, "suite": "trixie", "packages": ["nginx-light"]},
    "database": {**SMALL, "suite": "bookworm", "packages": ["postgresql-15", "dash"], "programs": ["psql"]},
    "metrics": {"kind": "debian", "suite": "trixie", "packages": ["prometheus-node-exporter"]},
    "python": {"kind": "debian", "suite": "bullseye", "packages": ["python3"]},
    "python-next": {**SMALL, "suite": "trixie", "packages": ["python3", "dash"]},
    "notes": {"kind": "python", "interpreter": "python", "lock": "pylock.toml", "source": "./source"},
    "notes-next": {"kind": "python", "interpreter": "python-next", "lock": "pylock.toml", "source": "./source"},
}
NOTES = r'''
import os
import platform
import pwd
import re
import sqlite3
import sys
from pathlib import Path

from fastapi import FastAPI

application = FastAPI()
database = sqlite3.connect(Path(os.environ["STATE_DIRECTORY"], "notes.sqlite"), isolation_level=None, check_same_thread=False)
database.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")


@application.get("/python")
def python() -> list[str]:
    """By which Python it runs, and by what it would start another."""
    return [platform.python_version(), sys.executable]


@application.get("/accounts/{name}")
def account(name: str) -> bool:
    """Whether there is such an account, as the C library finds it out."""
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


@application.get("/notes")
def read() -> list[str]:
    """All of them."""
    return [text for (text,) in database.execute("SELECT text FROM notes")]


@application.post("/notes/{text}")
def write(text: str) -> None:
    """One more."""
    database.execute("INSERT INTO notes VALUES (?)", (text,))


@application.get("/objects")
def objects() -> list[str]:
    """The shared objects that it has mapped."""
    return sorted(set(re.findall(r"/\S+\.so\S*", Path("/proc/self/maps").read_text())))
'''
"""A small web application: notes in a database of its own, and whose libraries it runs with."""
NGINX = """\
daemon off;
error_log stderr;
pid /run/web/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path /var/lib/web/body;
  proxy_temp_path /var/lib/web/proxy;
  fastcgi_temp_path /var/lib/web/fastcgi;
  uwsgi_temp_path /var/lib/web/uwsgi;
  scgi_temp_path /var/lib/web/scgi;
  server { listen 8080; location / { proxy_pass http://127.0.0.1:8000; } }
}
"""
PSQL = "runuser -u postgres -- sh -lc {}"
POSTGRES = "/usr/lib/postgresql/15/bin"
MAKE_DATA = f"[ -e /var/lib/base/data ] || {POSTGRES}/initdb --pgdata=/var/lib/base/data --auth=peer >/dev/null"
ANSWERS = ["/usr/bin/env", "PGCONNECT_TIMEOUT=5", f"${{pkgs.database}}{POSTGRES}/pg_isready", "-q", "-h", "/run/postgresql"]
"""The starter is behind a program of the host's own."""


def configuration(nginx: str, application: str, python: str = "") -> dict[str, Any]:
    """The same for all hosts; an upgrade changes the releases that nginx and the application's Python are of.

    `python`: the set that is the application's root.
    """
    roots = {"web": nginx, "base": "database", "metrics": "metrics", **({"notes": python} if python else {})}
    web = {
        "ExecStart": "/usr/sbin/nginx -c /etc/web/nginx.conf",
        "User": "web",
        "StateDirectory": "web",
        "RuntimeDirectory": "web",
    }
    base = {
        "ExecStartPre": f'/bin/sh -c "{MAKE_DATA}"',
        "ExecStart": f"{POSTGRES}/postgres -D /var/lib/base/data -c listen_addresses= -c unix_socket_directories=/run/postgresql",
        "Type": "notify",
        "User": "postgres",
        "StateDirectory": "base",
        "StateDirectoryMode": "0700",
        "RuntimeDirectory": "postgresql",
        "KillSignal": "SIGINT",
    }
    # Workers are children that it starts by `sys.executable`.
    uvicorn = [f"${{pkgs.{application}}}/bin/uvicorn", "notes:application", "--workers", "2", "--log-level", "warning"]
    metrics = {"ExecStart": "/usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:9100", "User": "metrics"}
    services = {"web": web, "base": base, "metrics": metrics}
    return {
        "packages": ["database"],
        "users": {"web": {}, "postgres": {"shell": "/bin/sh"}, "metrics": {}},
        "applications": {"notes": {"command": uvicorn, "port": 8000, "check": "/notes"}},
        "etc": {"web/nginx.conf": {"text": NGINX}},
        "systemd": {
            "services": {
                name: {"wanted_by": ["multi-user.target"], "check": True, "service": service}
                for name, service in services.items()
            },
            "roots": {name: f"${{pkgs.{package}}}" for name, package in roots.items()},
        },
        "checks": {
            "site": {"kind": "http", "url": "http://127.0.0.1:8080/notes"},
            "metrics": {"kind": "http", "url": "http://127.0.0.1:9100/metrics"},
            "base-answers": {"kind": "command", "command": ANSWERS},
        },
    }


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the packages, and where their file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("services"), Store(store_with_pythons)
    (directory / "pylock.toml").write_text(LOCK, encoding="utf-8")
    (directory / "source").mkdir()
    (directory / "source/notes.py").write_text(NOTES)
    build_packages(machines, store, directory, PACKAGES, on_path=["database"])
    return store, directory


def test_a_web_server_of_packages_runs_alike_on_three_releases_and_keeps_its_data(
    machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch
):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bullseye", "bookworm", "trixie")]
    fleet = Fleet(directory, machines.lab, *hosts)
    fleet.packages = PACKAGES
    packages = PackageSet.load(directory / "packages.yaml")

    def on(host: LabHost, command: str) -> str:
        return shell(machines.lab, host, command)

    def ask(host: LabHost, path: str, *arguments: str) -> str:
        return on(host, shlex.join(["curl", "-sS", "--max-time", "10", *arguments, f"http://127.0.0.1:8080{path}"]))

    def sql(host: LabHost, statement: str) -> str:
        return on(host, PSQL.format(shlex.quote(f"psql -qtA -h /run/postgresql -c {shlex.quote(statement)}")))

    def server(host: LabHost) -> str:
        return next(line for line in ask(host, "/notes", "-i").splitlines() if line.lower().startswith("server:"))

    def check_objects(host: LabHost, nginx: str, interpreter: str, application: str) -> None:
        root, *trees = (packages.output_path(name) for name in (nginx, interpreter, application))
        assert mapped_outside(machines.lab, host, root, service="web") == [], host.name
        outside = mapped_outside(machines.lab, host, *trees, service="notes")
        assert [line for line in outside if ".so" in line] == [], host.name
        of_worker = json.loads(ask(host, "/objects"))
        assert any("pydantic_core" in name for name in of_worker)
        assert [name for name in of_worker if not name.startswith(tuple(trees))] == [], host.name

    fleet.configure(configuration("nginx", "notes"))
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    for host in hosts:
        ask(host, "/notes/first", "-X", "POST")
        sql(host, "CREATE TABLE kept (word TEXT); INSERT INTO kept VALUES ('kept')")
        assert "nginx/1.18" in server(host)
        assert json.loads(ask(host, "/python")) == ["3.9.2", f"{packages.output_path('notes')}/bin/python3"]
        check_objects(host, "nginx", "python", "notes")
        assert on(host, "ls /usr/sbin/nginx /usr/lib/postgresql /usr/bin/prometheus-node-exporter 2>/dev/null; true") == ""

    fleet.configure(configuration("nginx-next", "notes-next", "python-next"))
    upgraded = fleet.deploy()
    assert upgraded.exit_code == 0, upgraded.text
    for host in hosts:
        assert "nginx/1.26" in server(host)
        assert json.loads(ask(host, "/python"))[0].startswith("3.13.")
        assert [json.loads(ask(host, f"/accounts/{name}")) for name in ("metrics", "nobody-knows")] == [True, False]
        assert mapped_outside(machines.lab, host, packages.output_path("nginx-next"), service="web") == [], host.name
        trees = [packages.output_path(name) for name in ("python-next", "notes-next")]
        assert mapped_outside(machines.lab, host, *trees, service="notes", child="spawn_main") == [], host.name
        ask(host, "/notes/second", "-X", "POST")
        sql(host, "INSERT INTO kept VALUES ('too')")

    returned = fleet.run("rollback")
    assert returned.exit_code == 0, returned.text
    for host in hosts:
        assert "nginx/1.18" in server(host)
        assert json.loads(ask(host, "/notes")) == ["first", "second"]
        assert sql(host, "SELECT word FROM kept ORDER BY word").split() == ["kept", "too"]
