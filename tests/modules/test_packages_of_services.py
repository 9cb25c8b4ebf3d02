"""Where services' programs are: the host's, those of a package, and those of a root tree, which is then their root."""

from __future__ import annotations

import pytest

from deployer.config.errors import AssertionBroken

TREE, PACKAGE = f"/nix/store/{'0' * 32}-tree", f"/nix/store/{'0' * 32}-hello"


POSTGRESQL = "/usr/lib/postgresql/15/bin/"


@pytest.mark.parametrize(("package", "root"), [("host", None), ("${pkgs.hello}", None), ("${pkgs.tree}", TREE)])
@pytest.mark.parametrize(
    ("service", "unit", "of_debian", "own"),
    [
        ("redis", "redis-server", "/usr/bin/redis-server", "/bin/redis-server"),
        ("prometheus", "prometheus", "/usr/bin/prometheus", "/bin/prometheus"),
        ("postgresql", "postgresql", f"{POSTGRESQL}postgres", "/bin/postgres"),
        ("postgresql", "postgresql-data", f"{POSTGRESQL}initdb", "/bin/initdb"),
        ("postgresql", "postgresql-roles", f"{POSTGRESQL}psql", "/bin/psql"),
    ],
)
def test_a_service_runs_the_program_of_its_package_and_sees_the_tree_that_has_it(
    directory, package, root, service, unit, of_debian, own
):
    version = ", version: 15" if service == "postgresql" else ""
    config = directory.evaluate(f"services: {{{service}: {{package: '{package}'{version}}}}}\n")

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
