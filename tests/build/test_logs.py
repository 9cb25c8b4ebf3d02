"""Builds' logs, where Nix looks for them."""

import bz2

import pytest

from deployer.build.logs import LogMissing, log_file, read_log, seal_log
from deployer.store import Store

DERIVATION = "/nix/store/aabbccddffgghhiijjkkllmmnnppqqrr-x.drv"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_log_is_read_while_it_grows_and_when_it_is_sealed(store):
    file = log_file(store, DERIVATION)
    assert file == store.log_directory / "drvs" / "aa" / "bbccddffgghhiijjkkllmmnnppqqrr-x.drv"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half")
    assert b"".join(read_log(store, DERIVATION)) == b"half"

    file.write_bytes(b"whole")
    seal_log(file)
    seal_log(file)

    assert [path.name for path in file.parent.iterdir()] == [f"{file.name}.bz2"]
    assert bz2.decompress((file.parent / f"{file.name}.bz2").read_bytes()) == b"whole"
    assert b"".join(read_log(store, DERIVATION)) == b"whole"


def test_what_was_not_built_has_no_log(store):
    with pytest.raises(LogMissing, match=r"x\.drv"):
        read_log(store, DERIVATION)


async def test_the_log_of_an_output_is_that_of_its_derivation(workshop):
    made = workshop.script("made", "echo said; echo > $out")
    await workshop.realise(made)

    assert b"".join(read_log(workshop.store, workshop.output(made))) == b"said\n"


def test_nix_prints_our_logs(nix_log, store):
    file = log_file(store, DERIVATION)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"said\n")
    seal_log(file)

    assert nix_log(store, DERIVATION) == b"said\n"


@pytest.fixture
def nix_log(tmp_path):
    import os
    import shutil
    import subprocess

    if not shutil.which("nix-store"):
        pytest.skip("nix-bin is not installed")

    def read(store, derivation):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NIX_STATE_DIR": str(tmp_path / "state"),
            "NIX_LOG_DIR": str(store.log_directory),
            "NIX_REMOTE": f"local?root={tmp_path}/nix&log={store.log_directory}",
        }
        return subprocess.run(
            ["nix-store", "--read-log", derivation], env=environment, capture_output=True, check=True, timeout=60
        ).stdout

    return read
