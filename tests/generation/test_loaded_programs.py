"""Programs of root trees in services that are to see the host's files: a script of their own starts each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView
from deployer.generation import System, make_system, runtime
from deployer.generation.root_shells import RootWithoutShell
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

RESTIC = LockedDebian(("bookworm",), ("restic",), "amd64", (LockedDeb("restic", "1", "amd64", "pool/restic.deb", 1, "00" * 32),))
PACKAGES = """\
restic: {kind: debian, suite: bookworm, packages: [restic]}
link: {kind: fetch, file: packages.yaml}
"""
BACKUP = "repository: /b, password_file: /k, paths: [/srv], keep: {daily: 1}"


@pytest.fixture
def make(tmp_path: Path):
    """The system of a configuration, and its packages."""

    def system(text: str) -> tuple[System, PackageSet]:
        (tmp_path / "packages.yaml").write_text(PACKAGES)
        (tmp_path / "deployer.lock").write_text(str(Lock({"restic": RESTIC})))
        (tmp_path / "web.yaml").write_text(text)
        packages = PackageSet.load(tmp_path / "packages.yaml")
        config = Evaluator(packages=packages).evaluate(HostView("web1"), tmp_path / "web.yaml")
        return make_system(config, packages, runtime("/nix/store")), packages

    return system


def text_of(made: System, service: str) -> str:
    return next(unit.text for unit in made.manifest.units if unit.name == f"{service}.service")


def test_a_backup_by_a_set_runs_restic_by_the_loader_of_its_tree_wherever_the_job_names_it(make):
    made, packages = make(f"backups: {{data: {{package: '${{pkgs.restic}}', {BACKUP}}}}}\n")

    (script,) = (item for item in made.made.inputs if item.derivation.builder == "builtin:loaded-program")
    text = text_of(made, "backup-data")
    assert script.derivation.environment["root"] == packages.output_path("restic")
    assert script.derivation.environment["program"] == "/bin/restic"
    assert text.count(f"{script.output}/bin/restic ") == 2
    assert packages.output_path("restic") not in text
    assert made.warnings == ()
    assert made.manifest.architectures == {"x86_64": "restic-restic-loaded"}
    assert f"{script.output}/bin/restic" in made.made.derivation.environment["entries"]


def test_a_node_exporter_of_a_set_runs_by_the_loader_of_its_tree(make):
    made, packages = make("services: {node_exporter: {package: '${pkgs.restic}'}}\n")

    text = text_of(made, "prometheus-node-exporter")
    assert re.search(r"^ExecStart=\S+-loaded/bin/prometheus-node-exporter --web", text, re.MULTILINE)
    assert packages.output_path("restic") not in text


def test_a_set_with_a_server_and_no_shell_is_refused_before_its_initdb_misses_one(make):
    with pytest.raises(RootWithoutShell, match=r"unit 'postgresql-data\.service': ExecStart runs /bin/sh"):
        make("services: {postgresql: {package: '${pkgs.restic}', version: 15}}\n")


def test_only_the_services_that_ask_for_it_and_only_whole_names_are_changed(make):
    service = "{service: {ExecStart: '/bin/sh -c x ${pkgs.restic}/bin/restic ${pkgs.restic}/bin/restic.conf'}}"
    made, packages = make(
        f"systemd: {{services: {{a: {service}, b: {service}}}, loaded_programs: {{a: ['${{pkgs.restic}}/bin/restic']}}}}\n"
    )

    path = packages.output_path("restic")
    assert f"{path}/bin/restic " not in text_of(made, "a")
    assert f"{path}/bin/restic.conf" in text_of(made, "a")
    assert f"{path}/bin/restic {path}/bin/restic.conf" in text_of(made, "b")


def test_packages_of_other_kinds_are_run_as_they_are(make):
    made, packages = make(f"backups: {{data: {{package: '${{pkgs.link}}', {BACKUP}}}}}\n")

    assert f"{packages.output_path('link')}/bin/restic" in text_of(made, "backup-data")
