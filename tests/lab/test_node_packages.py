"""A web application of locked npm packages, on hosts of two releases that have no Node: as services, and on PATH."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
from tests.tarballs import integrity, make_tarball, served

PACKAGES: dict[str, Any] = {
    "node": {"kind": "debian", "suite": "bookworm", "packages": ["nodejs"]},
    "shop": {"kind": "npm", "interpreter": "node", "lock": "package-lock.json", "source": "./source"},
}
SHOP = """\
#!/usr/bin/env node
const { fork } = require("child_process"), greeting = require("greeting");
if (process.argv[2] === "child") process.send(process.version);
else fork(__filename, ["child"]).on("message", (version) => {
  require("http").createServer((_, answer) => answer.end(`${greeting} ${version}`)).listen(Number(process.argv[2]), "127.0.0.1");
});
"""
COMMANDS = {"started": "${pkgs.shop}/bin/shop 8001", "rooted": "/usr/bin/node ${pkgs.shop}/app/shop.js 8002"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory of a registry, and its URL."""
    directory = tmp_path_factory.mktemp("registry")
    with served(directory) as url:
        yield directory, url


@pytest.fixture(scope="module")
def workshop(machines, registry, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the packages, and where their file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("node"), Store(store_with_pythons)
    served, url = registry
    program = {"index.js": "module.exports = 'good morning'\n", "say.js": "console.log(require('.'), process.version)\n"}
    tarball = make_tarball(served, "greeting", program)
    entries = {
        "": {"name": "shop", "bin": {"shop": "shop.js"}, "dependencies": {"greeting": "1"}},
        "node_modules/greeting": {
            "version": "1.0.0",
            "resolved": f"{url}/{tarball.name}",
            "integrity": integrity(tarball.read_bytes()),
            "bin": {"say": "say.js"},
        },
    }
    (directory / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": entries}))
    (directory / "source").mkdir()
    (directory / "source/shop.js").write_text(SHOP)
    build_packages(machines, store, directory, PACKAGES, on_path=["shop"])
    return store, directory


def configuration() -> dict[str, Any]:
    """The application twice: by its starter, and with the interpreter's tree as the service's root."""
    services = {
        name: {"wanted_by": ["multi-user.target"], "check": True, "service": {"ExecStart": command, "User": "shop"}}
        for name, command in COMMANDS.items()
    }
    return {
        "packages": ["shop"],
        "users": {"shop": {}},
        "systemd": {"services": services, "roots": {"rooted": "${pkgs.node}"}},
        "checks": {f"port-{port}": {"kind": "http", "url": f"http://127.0.0.1:{port}/"} for port in (8001, 8002)},
    }


def test_a_node_application_runs_alike_on_hosts_that_have_none(machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bullseye", "trixie")]
    fleet = Fleet(directory, machines.lab, *hosts)
    fleet.packages = PACKAGES
    root = PackageSet.load(directory / "packages.yaml").output_path("node")

    def on(host: LabHost, command: str) -> str:
        return shell(machines.lab, host, command)

    fleet.configure(configuration())
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    for host in hosts:
        for port in (8001, 8002):
            assert on(host, f"curl -sS --max-time 10 http://127.0.0.1:{port}/").startswith("good morning v18."), host.name
        assert mapped_outside(machines.lab, host, root) != []
        for unit in COMMANDS:
            assert mapped_outside(machines.lab, host, root, service=unit) == [], (host.name, unit)
        assert on(host, "setpriv --reuid=4242 --regid=4242 --clear-groups sh -lc say").startswith("good morning v18.")
        assert on(host, "ls /usr/bin/node /usr/share/nodejs 2>/dev/null; true") == ""
