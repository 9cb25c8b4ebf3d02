"""Certificates by a certbot of a locked set, whose root has neither a shell nor systemd, on hosts of other releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.lab.network import CONTROLLER_ADDRESS
from deployer.store import Store
from tests.lab.authority import authority
from tests.lab.built_packages import build_packages
from tests.lab.fleet import Fleet
from tests.lab.standing import shell

PACKAGES: dict[str, Any] = {"certbot": {"kind": "debian", "suite": "bookworm", "packages": ["certbot"]}}
ROOT = {"acme-example.org": "${pkgs.certbot}"}
MAIL = {"service": {"ExecStart": "/bin/sleep infinity", "ExecReload": "/bin/cp /run/ready /run/taken"}}
"""It takes up a certificate where it is ready to."""

ASKED = "while systemctl list-jobs | grep -q reload-for-acme; do :; done"


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the set, and where its file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("certificates"), Store(store_with_pythons)
    build_packages(machines, store, directory, PACKAGES)
    return store, directory


@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_a_certificate_is_got_by_a_set_and_taken_up_by_services_of_the_host(
    machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch, release: str
):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    (host,) = fresh_hosts(1, release=release, base="web")
    fleet = Fleet(directory, machines.lab, host)
    fleet.packages = PACKAGES

    def on(command: str) -> str:
        return shell(machines.lab, host, command)

    def renew() -> str:
        """The number of the certificate, once services have been asked to take it up."""
        on(f"rm -f /run/taken; systemctl start acme-example.org.service; {ASKED}")
        return on("openssl x509 -noout -serial -in /var/lib/acme/live/example.org/cert.pem")

    with authority(CONTROLLER_ADDRESS, host.address) as ca:
        ca.days = 10
        configuration: dict[str, Any] = {
            "services": {"nginx": {"package": "host"}},
            "systemd": {"services": {"mail": {"wanted_by": ["multi-user.target"], **MAIL}}},
            "acme": {
                "package": "${pkgs.certbot}",
                "accept_terms": True,
                "server": f"{ca.url}/directory",
                "certificates": {"example.org": {"reload": ["nginx.service", "mail.service"]}},
            },
        }
        fleet.configure(configuration)
        refused = fleet.run("check")
        assert refused.exit_code == 2
        assert "`systemd.roots: {acme-example.org: '${pkgs.certbot}'}`" in refused.text

        on("echo yes >/run/ready; chmod -x /usr/bin/certbot")
        configuration["systemd"]["roots"] = ROOT
        fleet.configure(configuration)
        deployed = fleet.deploy()
        assert deployed.exit_code == 0, deployed.text
        assert len(ca.orders) == 1
        assert on(f"{ASKED}; cat /run/taken") == "yes"

        first = renew()
        assert len(ca.orders) == 2
        assert on("cat /run/taken") == "yes"

        # What is not taken up is offered again, though the certificate is good by then.
        ca.days = 90
        on("rm /run/ready")
        second = renew()
        assert first != second
        assert on("systemctl is-failed reload-for-acme-example.org.service") == "failed"
        on("echo again >/run/ready")
        assert renew() == second
        assert on("cat /run/taken") == "again"
        renew()
        assert len(ca.orders) == 3
        assert on("ls /run/taken").endswith("No such file or directory")
        assert on("systemctl is-system-running") == "running"
