"""The quickstart's package, from the mirror to a running program."""

import shutil
from pathlib import Path

import pytest

from deployer.build import BuildSettings, realise
from deployer.packages import PackageSet
from deployer.process import run
from deployer.store import Store

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")]
PACKAGES = Path(__file__).parents[2] / "inventories/quickstart/packages.yaml"


async def test_the_server_is_reproducible_refers_to_nothing_and_runs(tmp_path):
    packages = PackageSet.load(PACKAGES)
    output = packages.output_path("hello-server")
    first, second = Store(tmp_path / "first"), Store(tmp_path / "second")

    await build(packages, first)
    for deb in first.database.all_paths():
        if deb.endswith(".deb"):  # the network need not be asked twice
            second.add_fixed(deb.partition("-")[2], first.physical(deb))
    await build(packages, second)

    assert first.query(output).nar_hash == second.query(output).nar_hash
    assert [str(path) for path in first.closure([output])] == [output]
    (tmp_path / "bad.conf").write_text("port = none\n")
    program = first.physical(output) / "bin/hello-server"
    answer = await run([program, tmp_path / "bad.conf"], check=False)
    assert answer.status == 1
    assert b"expected 'port = NUMBER'" in answer.stderr


async def build(packages, store):
    derivations = packages.instantiate(store, ["hello-server"])
    await realise(store, derivations.values(), settings=BuildSettings(place_of=packages.place_of))
