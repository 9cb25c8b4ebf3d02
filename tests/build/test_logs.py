"""Builds' logs, where Nix looks for them."""

import pytest

from deployer.build.logs import LogMissing, LogWriter, log_file, read_log
from deployer.store import Store

DERIVATION = "/nix/store/aabbccddffgghhiijjkkllmmnnppqqrr-x.drv"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_log_is_read_while_it_grows_and_when_it_is_sealed(store):
    log = LogWriter(log_file(store, DERIVATION))
    assert log.file == store.log_directory / "drvs" / "aa" / "bbccddffgghhiijjkkllmmnnppqqrr-x.drv"
    log.write(b"early")
    assert not log.file.exists()

    log.write(b"x" * 70000)
    log.write(b"late")
    assert b"".join(read_log(store, DERIVATION)) == b"early" + b"x" * 70000 + b"late"
    log.seal()

    assert [path.name for path in log.file.parent.iterdir()] == [f"{log.file.name}.bz2"]
    assert b"".join(read_log(store, DERIVATION)) == b"early" + b"x" * 70000 + b"late"


def test_a_log_that_is_not_young_can_be_read_at_once(store, monkeypatch):
    log = LogWriter(log_file(store, DERIVATION))
    monkeypatch.setattr("deployer.build.logs._YOUNG", -1)

    log.write(b"line\n")

    assert b"".join(read_log(store, DERIVATION)) == b"line\n"


def test_what_was_not_built_has_no_log(store):
    with pytest.raises(LogMissing, match=r"x\.drv"):
        read_log(store, DERIVATION)


async def test_the_log_of_an_output_is_that_of_its_derivation(workshop):
    made = workshop.script("made", "echo said; echo > $out")
    await workshop.realise(made)

    assert b"".join(read_log(workshop.store, workshop.output(made))) == b"said\n"


def test_nix_prints_our_logs(nix_log, store):
    log = LogWriter(log_file(store, DERIVATION))
    log.write(b"said\n")
    log.seal()

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
