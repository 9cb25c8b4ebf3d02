"""Where services' programs are: the host's, those of a package, and those of a root tree, which is then their root."""

from __future__ import annotations

import pytest

from deployer.config.errors import AssertionBroken

TREE, PACKAGE = f"/nix/store/{'0' * 32}-tree", f"/nix/store/{'0' * 32}-hello"


POSTGRESQL = "/usr/lib/postgresql/15/bin/"
MORE = {
    "postgresql": "version: 15",
    "nginx": "sites: {a.example: {root: /srv/a}}",
    "haproxy": "frontends: {a: {port: 80, backend: b}}, backends: {b: {servers: ['192.0.2.7:80']}}",
}
SECURE = "port: 443, root: /srv/a, certificate: /etc/letsencrypt/live/a/chain.pem, key: /etc/letsencrypt/live/a/key.pem"


@pytest.mark.parametrize(("package", "root"), [("host", None), ("${pkgs.hello}", None), ("${pkgs.tree}", TREE)])
@pytest.mark.parametrize(
    ("service", "unit", "of_debian", "own"),
    [
        ("redis", "redis-server", "/usr/bin/redis-server", "/bin/redis-server"),
        ("prometheus", "prometheus", "/usr/bin/prometheus", "/bin/prometheus"),
        ("nginx", "nginx", "/usr/sbin/nginx", "/bin/nginx"),
        ("haproxy", "haproxy", "/usr/sbin/haproxy", "/bin/haproxy"),
        ("postgresql", "postgresql", f"{POSTGRESQL}postgres", "/bin/postgres"),
        ("postgresql", "postgresql-data", f"{POSTGRESQL}initdb", "/bin/initdb"),
        ("postgresql", "postgresql-roles", f"{POSTGRESQL}psql", "/bin/psql"),
    ],
)
def test_a_service_runs_the_program_of_its_package_and_sees_the_tree_that_has_it(
    directory, package, root, service, unit, of_debian, own
):
    config = directory.evaluate(f"services: {{{service}: {{package: '{package}', {MORE.get(service, '')}}}}}\n")

    program = {"host": of_debian, "${pkgs.hello}": f"{PACKAGE}{own}", "${pkgs.tree}": f"{TREE}{of_debian}"}[package]
    assert program in config.get("systemd.services")[unit]["service"]["ExecStart"].split()
    assert config.get("systemd.roots").get(unit) == root


def test_what_makes_roles_sees_the_socket_in_its_root(directory):
    text = "services: {{postgresql: {{package: '{}', version: 15}}}}\n"

    of_tree, of_host = (directory.evaluate(text.format(package)) for package in ("${pkgs.tree}", "host"))
    assert of_tree.get("systemd.services")["postgresql-roles"]["service"]["BindReadOnlyPaths"] == "/run/postgresql"
    assert "BindReadOnlyPaths" not in of_host.get("systemd.services")["postgresql-roles"]["service"]


def test_a_version_that_is_not_said_is_all_that_is_wrong(directory):
    with pytest.raises(AssertionBroken, match=r"`services\.postgresql` has no `version`"):
        directory.evaluate("services: {postgresql: {package: '${pkgs.tree}'}}\n")


@pytest.mark.parametrize("package", ["host", "${pkgs.hello}", "${pkgs.tree}"])
def test_node_exporter_sees_the_file_systems_of_the_host(directory, package):
    config = directory.evaluate(f"services: {{node_exporter: {{package: '{package}'}}}}\n")

    loaded = {"prometheus-node-exporter": [f"{TREE}/usr/bin/prometheus-node-exporter"]}
    assert config.get("systemd.loaded_programs") == (loaded if "tree" in package else {})
    assert config.get("systemd.roots") == {}
    assert config.get("systemd.services")["prometheus-node-exporter"]["service"]["ProtectHome"] == "read-only"


def test_node_exporter_may_have_a_root_all_the_same(directory):
    roots = "systemd: {roots: {prometheus-node-exporter: '${pkgs.tree}'}}\n"
    config = directory.evaluate("services: {node_exporter: {package: '${pkgs.tree}'}}\n" + roots)

    assert config.get("systemd.loaded_programs") == {}


def test_another_root_goes_before(directory):
    text = "services: {redis: {package: '${pkgs.tree}'}}\nsystemd: {roots: {redis-server: '${pkgs.world}'}}\n"

    assert directory.evaluate(text).get("systemd.roots")["redis-server"].endswith("-world")


def root_of(config, unit):
    """The lines of the drop-in that gives a service its root, and what it binds itself."""
    service = config.get("systemd.services")[unit]["service"]
    return config.get("systemd.units")[f"{unit}.service"]["drop_ins"]["root.conf"].splitlines(), service


def test_a_web_server_in_a_root_sees_what_its_sites_name_wherever_on_the_host_that_is(directory):
    config = directory.evaluate(
        "services: {nginx: {package: '${pkgs.tree}', sites: {a.example: {" + SECURE + "}}}}\n"
        "static_sites: {b.example: {source: public}}\n"
        "systemd: {services: {nginx: {service: {BindReadOnlyPaths: [/etc/more]}}}}\n",
        **{"public__index.html": "x"},
    )

    lines, service = root_of(config, "nginx")
    assert service["BindPaths"] == ["/run", "/var"]
    assert {"-/srv", "-/etc/letsencrypt", "-/etc/static-sites", "/etc/more"} <= {*service["BindReadOnlyPaths"]}
    assert "TemporaryFileSystem=/etc /run/host" in lines
    assert not [line for line in lines if "/etc/letsencrypt" in line or "/etc/static-sites" in line or "/etc/more" in line]
    assert "BindReadOnlyPaths=-/etc/nginx-deployer" in lines
    judges = config.get("etc")["nginx-deployer/nginx.conf"]["validate"]
    assert judges[:5] == [f"{TREE}/usr/sbin/nginx", "-t", "-q", "-p", "/run/"]


def test_a_load_balancer_in_a_root_sees_its_certificates_and_is_told_to_reload_from_outside(directory):
    config = directory.evaluate(
        "services: {haproxy: {package: '${pkgs.tree}', frontends: {a: {port: 443, backend: b, certificate: /etc/ssl/private/a}},"
        " backends: {b: {servers: [/run/b/socket]}}}}\n"
    )

    lines, service = root_of(config, "haproxy")
    assert "-/etc/ssl" in service["BindReadOnlyPaths"]
    assert not any("/etc/ssl" in line for line in lines)
    assert config.get("etc")["haproxy-deployer/haproxy.cfg"]["validate"][0] == f"{TREE}/usr/sbin/haproxy"
    assert (service["ExecReload"], service["RootDirectoryStartOnly"]) == ("/bin/kill -USR2 $MAINPID", "yes")


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (
            "nginx: {package: PACKAGE, sites: {a.example: {root: /usr/share/a}}}",
            "site 'a.example' names /usr/share/a, which nginx does not see: its root is the tree of its package",
        ),
        (
            "nginx: {package: PACKAGE, sites: {a.example: {locations: {/x: {proxy: 'http://unix:/tmp/x:/y'}}}}}",
            "site 'a.example' names /tmp/x, which nginx does not see: its root is the tree of its package",
        ),
        (
            "haproxy: {package: PACKAGE, frontends: {a: {port: 80, backend: b}}, backends: {b: {servers: [/data/b]}}}",
            "HAProxy does not see /data/b: its root is the tree of its package",
        ),
    ],
)
def test_files_for_which_a_tree_has_no_place_are_refused(directory, service, message):
    (error,) = directory.errors(f"services: {{{service}}}\n".replace("PACKAGE", "'${pkgs.tree}'"))

    assert error.message == message
    assert error.remedy == "Have it below one of /home, /mnt, /opt, /root, /srv, /var; by a bind mount, for one."
    directory.evaluate(f"services: {{{service}}}\n".replace("PACKAGE", "host"))
