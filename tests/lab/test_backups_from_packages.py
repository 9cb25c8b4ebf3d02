"""Backups by a restic of a locked set, on hosts of other releases that have none: of the host's own files, also of its `/usr`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.store import Store
from tests.lab.built_packages import build_packages
from tests.lab.fleet import Fleet
from tests.lab.standing import shell

PACKAGES: dict[str, Any] = {"restic": {"kind": "debian", "suite": "bookworm", "packages": ["restic"]}}
BACKUP: dict[str, Any] = {
    "package": "${pkgs.restic}",
    "repository": "/var/backups/data",
    "password_file": "/root/backup.key",
    "paths": ["/srv/data", "/usr/lib/os-release"],
    "keep": {"daily": 2},
}


@pytest.fixture(scope="module")
def workshop(machines, store_with_pythons: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store that has the set, and where its file is: a lab has no way to a mirror."""
    directory, store = tmp_path_factory.mktemp("backups"), Store(store_with_pythons)
    build_packages(machines, store, directory, PACKAGES)
    return store, directory


@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_a_backup_by_a_set_has_the_files_of_the_host(
    machines, fresh_hosts, workshop, monkeypatch: pytest.MonkeyPatch, release: str
):
    store, directory = workshop
    monkeypatch.setenv("DEPLOYER_STORE_ROOT", str(store.root))
    (host,) = fresh_hosts(1, release=release)
    fleet = Fleet(directory, machines.lab, host)
    fleet.packages = PACKAGES
    fleet.configure({"backups": {"data": BACKUP}})

    def on(command: str) -> str:
        return shell(machines.lab, host, command)

    on("mkdir /srv/data; echo kept >/srv/data/word; umask 077; echo secret >/root/backup.key; ! command -v restic")
    deployed = fleet.deploy()
    assert deployed.exit_code == 0, deployed.text
    on("systemctl start backup-data.service; systemctl start backup-data.service")

    said = on("journalctl -o cat -u backup-data.service")
    assert on("systemctl show -P Result backup-data.service") == "success", said
    restic = on("systemctl cat backup-data.service | grep -o '/nix/store/[^ ]*/bin/restic' | sort -u")
    assert len(restic.splitlines()) == 1
    restored = f"RESTIC_REPOSITORY=/var/backups/data RESTIC_PASSWORD_FILE=/root/backup.key {restic} dump latest"
    assert on(f"{restored} /srv/data/word") == "kept"
    assert f"VERSION_CODENAME={release}" in on(f"{restored} /usr/lib/os-release")
