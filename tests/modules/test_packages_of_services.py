"""Where services' programs are: the host's, those of a package, and those of a root tree, which is then their root."""

from __future__ import annotations

import pytest

TREE, PACKAGE = f"/nix/store/{'0' * 32}-tree", f"/nix/store/{'0' * 32}-hello"


@pytest.mark.parametrize(
    ("package", "program", "root"),
    [
        ("host", "/usr/bin/redis-server", None),
        ("${pkgs.hello}", f"{PACKAGE}/bin/redis-server", None),
        ("${pkgs.tree}", f"{TREE}/usr/bin/redis-server", TREE),
    ],
)
def test_a_service_runs_the_program_of_its_package_and_sees_the_tree_that_has_it(directory, package, program, root):
    config = directory.evaluate(f"services: {{redis: {{package: '{package}'}}}}\n")

    assert config.get("systemd.services")["redis-server"]["service"]["ExecStart"].split()[0] == program
    assert config.get("systemd.roots").get("redis-server") == root


def test_another_root_goes_before(directory):
    text = "services: {redis: {package: '${pkgs.tree}'}}\nsystemd: {roots: {redis-server: '${pkgs.world}'}}\n"

    assert directory.evaluate(text).get("systemd.roots")["redis-server"].endswith("-world")
