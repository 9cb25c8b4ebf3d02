"""Services of the library that the example of a web server does not have, on hosts whose distribution brings the programs.

`DEPLOYER_WEB_RELEASES="bullseye bookworm trixie"` has them on each of those.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.lab import Lab, LabHost
from deployer.lab.network import CONTROLLER_ADDRESS
from tests.lab.authority import authority
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import shell


class Site:
    """A host with what a web server needs, and the controller that deploys to it."""

    def __init__(self, directory: Path, lab: Lab, host: LabHost) -> None:
        self.lab, self.host, self.fleet = lab, host, Fleet(directory, lab, host)

    def deploy(self, **options: Any) -> Run:
        """And all must be well."""
        self.fleet.configure(options)
        done = self.fleet.deploy()
        assert done.exit_code == 0, done.text
        return done

    def refused(self, **options: Any) -> str:
        """What is said of a deployment that fails."""
        self.fleet.configure(options)
        done = self.fleet.deploy()
        assert done.exit_code == 1, done.text
        return done.text

    def shell(self, command: str) -> str:
        """What a command on the host prints."""
        return shell(self.lab, self.host, command)

    def ask(self, port: int, name: str = "example.org", path: str = "/") -> str:
        """What it answers to somebody outside."""
        request = urllib.request.Request(f"http://{self.host.address}:{port}{path}", headers={"Host": name})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(params=os.environ.get("DEPLOYER_WEB_RELEASES", "bookworm").split())
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(machines: Any, fresh_hosts: Callable[..., tuple[LabHost, ...]], tmp_path: Path, release: str) -> Site:
    return Site(tmp_path, machines.lab, fresh_hosts(1, release=release, base="web")[0])


def pages(port: int, text: str) -> dict[str, Any]:
    """An application that answers with a page."""
    command = ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", f"/etc/pages/{text}", str(port)]
    return {"command": command, "port": port}


def test_connections_are_shared_out_and_the_proxy_reloads(site: Site) -> None:
    base: dict[str, Any] = {
        "etc": {f"pages/{text}/index.html": {"text": text} for text in ("one", "two")},
        "applications": {text: pages(port, text) for text, port in (("one", 8001), ("two", 8002))},
        "firewall": {"enable": True},
        "activation": {"check_deadline": 10},
    }

    def proxy(*servers: str, **more: Any) -> dict[str, Any]:
        frontends = {
            "web": {"port": 8080, "backend": "app"},
            "raw": {"mode": "tcp", "port": 8081, "backend": "raw", "open": False},
        }
        backends = {"app": {"servers": [*servers], "check": "/"}, "raw": {"mode": "tcp", "servers": [*servers]}}
        return {**base, "services": {"haproxy": {"package": "host", "frontends": frontends, "backends": backends, **more}}}

    site.deploy(**proxy("127.0.0.1:8001"))
    assert site.ask(8080) == "one"
    assert "tcp dport 8080 accept" in site.shell("nft list chain inet deployer input")
    assert site.shell("curl -s http://127.0.0.1:8081/") == "one"
    process = site.shell("systemctl show -P MainPID haproxy")

    site.deploy(**proxy("127.0.0.1:8002"))
    assert site.shell("for i in $(seq 50); do curl -s http://127.0.0.1:8080/ | grep two && break; done") == "two"
    assert site.shell("systemctl show -P MainPID haproxy") == process

    assert "haproxy of this host refuses it" in site.refused(**proxy("127.0.0.1:8002", settings="no_such_directive on\n"))
    assert "haproxy-web" in site.refused(**proxy("127.0.0.1:8003"))
    assert site.ask(8080) == "two"

    assert site.fleet.run("uninstall", "--yes").exit_code == 0
    assert site.shell("systemctl is-active haproxy; systemctl is-system-running") == "active\nrunning"
    assert site.shell("systemctl show -P FragmentPath haproxy").endswith("/lib/systemd/system/haproxy.service")


def test_a_certificate_is_got_shown_and_renewed(site: Site) -> None:
    with authority(CONTROLLER_ADDRESS, site.host.address) as ca:
        names = ["example.org", "www.example.org"]
        acme = {
            "package": "host",
            "accept_terms": True,
            "server": f"{ca.url}/directory",
            "certificates": {"example.org": {"names": names}},
        }
        live = "/var/lib/acme/live/example.org"
        secure = {"port": 443, "certificate": f"{live}/fullchain.pem", "key": f"{live}/privkey.pem", "root": "/srv"}
        shown = "echo | openssl s_client -connect 127.0.0.1:443 -servername example.org 2>/dev/null | openssl x509 -noout -serial"
        base = {"acme": acme, "services": {"nginx": {"package": "host"}}, "etc": {"page/index.html": {"text": "secure"}}}

        ca.days = 10
        site.deploy(**base)

        assert [order.names for order in ca.orders] == [names]
        assert site.shell(
            f"stat -c %a {live}/../../archive; openssl x509 -noout -ext subjectAltName -in {live}/cert.pem"
        ).endswith("DNS:example.org, DNS:www.example.org")

        site.deploy(
            **base | {"services": {"nginx": {"package": "host", "sites": {"example.org": secure | {"root": "/etc/page"}}}}}
        )
        first = site.shell(shown)
        assert first.startswith("serial=")
        assert len(ca.orders) == 1

        # What is due is renewed, and nginx shows it at once; what is not due is left.
        ca.days = 90
        site.shell("systemctl start acme-example.org.service")
        assert len(ca.orders) == 2
        assert site.shell(f"for i in $(seq 50); do {shown} | grep -v {first} && break; done") != ""
        site.shell("systemctl start acme-example.org.service")
        assert len(ca.orders) == 2
        assert site.shell("systemctl is-active acme-example.org.timer; systemctl is-system-running") == "active\nrunning"

    # Without the authority, nothing is confirmed.
    refusal = site.refused(**base | {"acme": acme | {"certificates": {"other.example": {}}}})
    assert "acme-other.example.service" in refusal
    assert site.shell(shown) != ""


IMAGE = (
    "exec 2>/dev/null; mkdir -p /root/image/bin /root/image/srv; cp /bin/busybox /root/image/bin/; cd /root/image;"
    " for name in sh httpd cat; do ln -sf busybox bin/$name; done; echo one >srv/one; echo two >srv/two;"
    " tar -cf /root/image.tar .; podman import -q /root/image.tar localhost/pages >/dev/null;"
    " podman images --digests --format '{{.Digest}}' localhost/pages"
)
"""An image of little more than a shell, and its digest."""


def test_a_container_is_a_service_whose_state_stays(machines: Any, fresh_hosts: Any, tmp_path: Path, release: str) -> None:
    # In the lab, podman may set no kernel parameters for networks of its own, and the kernel has not all control groups.
    site = Site(tmp_path, machines.lab, fresh_hosts(1, release=release, base="containers")[0])
    image = f"localhost/pages@{site.shell(IMAGE)}"

    def containers(page: str, image: str = image) -> dict[str, Any]:
        web = {
            "package": "host",
            "image": image,
            "command": [
                "/bin/sh",
                "-c",
                f"echo page {page}; echo {page} >>/data/pages; cat /srv/$PAGE >/data/index.html; exec httpd -f -p 8080 -h /data",
            ],
            "environment": {"PAGE": page},
            "ports": {"http": {"port": 8080, "open": True, "check": "/"}},
            "volumes": {"data": "/data"},
            "options": ["--network=host", "--cgroups=disabled"],
        }
        return {"containers": {"web": web}}

    site.deploy(**containers("one"))
    assert site.ask(8080) == "one\n"
    assert "host use /usr/bin/podman" not in site.fleet.run("plan").text

    site.deploy(**containers("two"))
    assert site.ask(8080) == "two\n"
    assert site.shell("journalctl -u container-web -o cat | grep ^page") == "page one\npage two"

    refusal = site.refused(**containers("one", f"localhost/other@sha256:{'0' * 64}"))
    assert "container-web.service" in refusal
    assert site.ask(8080) == "two\n"
    assert site.shell("cat /var/lib/container-web/data/pages") == "one\ntwo\ntwo"

    assert site.fleet.run("uninstall", "--yes").exit_code == 0
    assert site.shell("podman ps --all --quiet 2>/dev/null; cat /var/lib/container-web/data/index.html") == "two"
