"""Services by their modules from locked sets of other releases, on hosts without them: deployed, upgraded, rolled back."""

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

SMALL = {"kind": "debian", "omit": ["documentation", "translations", "character_sets"]}
PACKAGES: dict[str, Any] = {
    "database": {**SMALL, "suite": "bookworm", "packages": ["postgresql-15", "dash"], "programs": ["psql"]},
    "cache": {**SMALL, "suite": "bookworm", "packages": ["redis-server"], "programs": ["redis-cli"]},
    "metrics": {**SMALL, "suite": "bookworm", "packages": ["prometheus"]},
    "metrics-next": {**SMALL, "suite": "trixie", "packages": ["prometheus"]},
    "measures": {**SMALL, "suite": "bookworm", "packages": ["prometheus-node-exporter"]},
    "measures-next": {**SMALL, "suite": "trixie", "packages": ["prometheus-node-exporter"]},
}
UNITS = {"redis-server": "cache", "postgresql": "database", "prometheus": "metrics", "prometheus-node-exporter": "measures"}
FIRST_SAMPLE = 'min_over_time(timestamp(up{job="node"})[1h:1s])'


def configuration(version: str, **roles: dict[str, Any]) -> dict[str, Any]:
    """The same for all hosts. An upgrade has other sets for what asks and what tells, and other settings for what keeps data."""
    jobs = ("node", *roles)
    scraped = {"kind": "prometheus", "url": "http://127.0.0.1:9090", "query": f'up{{job="{jobs[-1]}"}}', "comparison": "== 1"}
    return {
        "packages": ["database", "cache"],
        "users": {"app": {"shell": "/bin/sh"}},
        "services": {
            "postgresql": {
                "package": "${pkgs.database}",
                "version": 15,
                "settings": {"work_mem": f"{4 + len(roles)}MB"},
                "roles": {"app": {}, **roles},
                "databases": {"app": {"owner": "app"}},
            },
            "redis": {"package": "${pkgs.cache}", "memory_max": f"{64 + len(roles)}M"},
            "node_exporter": {"package": f"${{pkgs.measures{version}}}"},
            "prometheus": {
                "package": f"${{pkgs.metrics{version}}}",
                "scrape": {name: {"targets": ["127.0.0.1:9100"], "interval": "1s"} for name in jobs},
            },
        },
        "checks": {"scraped": {**scraped, "inconclusive": "red"}},
    }


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the sets, and where their file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("sets"), Store(store_with_pythons)
    build_packages(machines, store, directory, PACKAGES, on_path=["database", "cache"])
    return store, directory


def test_services_of_sets_keep_their_data_and_measure_the_host(machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bullseye", "trixie")]
    fleet = Fleet(directory, machines.lab, *hosts)
    fleet.packages = PACKAGES
    packages = PackageSet.load(directory / "packages.yaml")

    def on(host: LabHost, command: str) -> str:
        return shell(machines.lab, host, command)

    def sql(host: LabHost, statement: str) -> str:
        psql = f"psql -XqtA -h /run/postgresql -d app -c {shlex.quote(statement)}"
        return on(host, f"runuser -u app -- sh -lc {shlex.quote(psql)}")

    def redis(host: LabHost, *command: str) -> str:
        return on(host, f"sh -lc {shlex.quote(shlex.join(['redis-cli', *command]))}")

    def asked(host: LabHost, query: str) -> list[Any]:
        question = ["curl", "-sS", "--data-urlencode", f"query={query}", "http://127.0.0.1:9090/api/v1/query"]
        return [one["value"][1] for one in json.loads(on(host, shlex.join(question)))["data"]["result"]]

    def measured(host: LabHost, figure: str) -> str:
        return on(host, f"curl -sS http://127.0.0.1:9100/metrics | grep -F {shlex.quote(figure)}")

    def check_objects(host: LabHost, version: str) -> None:
        for unit, package in UNITS.items():
            tree = packages.output_path(f"{package}{version}" if f"{package}{version}" in PACKAGES else package)
            outside = mapped_outside(machines.lab, host, tree, service=unit)
            assert [line for line in outside if " /var/lib/prometheus/" not in line] == [], (host.name, unit)

    for host in hosts:
        on(host, "mkdir /srv/late; mount -t tmpfs -o size=8M measured /home")
        assert on(host, "ls /usr/bin/redis-server /usr/lib/postgresql /usr/bin/prometheus* 2>/dev/null; true") == ""
    fleet.configure(configuration(""))
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    first = {}
    for host in hosts:
        check_objects(host, "")
        sql(host, "CREATE TABLE kept (word TEXT); INSERT INTO kept VALUES ('kept')")
        assert redis(host, "set", "word", "kept") == "OK"
        first[host.name] = asked(host, FIRST_SAMPLE)
        assert len(first[host.name]) == 1
        on(host, "mount -t tmpfs -o size=16M measured /srv/late")
        assert 'mountpoint="/home"} 8.388608e+06' in measured(host, "node_filesystem_size_bytes{")
        assert 'mountpoint="/srv/late"} 1.6777216e+07' in measured(host, "node_filesystem_size_bytes{")
        release = host.name.partition("-")[0]
        assert f'version_codename="{release}"' in measured(host, "node_os_info{")

    fleet.configure(configuration("-next", guest={"login": False}))
    upgraded = fleet.deploy()
    assert upgraded.exit_code == 0, upgraded.text
    for host in hosts:
        check_objects(host, "-next")
        assert sql(host, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'guest'") == "f"
        sql(host, "INSERT INTO kept VALUES ('too')")
        assert redis(host, "get", "word") == "kept"
        assert redis(host, "set", "more", "too") == "OK"
        assert asked(host, FIRST_SAMPLE) == first[host.name]

    returned = fleet.run("rollback")
    assert returned.exit_code == 0, returned.text
    for host in hosts:
        check_objects(host, "")
        assert sql(host, "SELECT word FROM kept ORDER BY word").split() == ["kept", "too"]
        assert [redis(host, "get", name) for name in ("word", "more")] == ["kept", "too"]
        assert asked(host, FIRST_SAMPLE) == first[host.name]

    asking = [on(host, "systemctl show -P MainPID prometheus") for host in hosts]
    fleet.configure(configuration("", other={}))
    reloaded = fleet.deploy()
    assert reloaded.exit_code == 0, reloaded.text
    assert [on(host, "systemctl show -P MainPID prometheus") for host in hosts] == asking
