"""The host runtime is understood by the oldest Python that hosts may have."""

from __future__ import annotations

import subprocess

import pytest

from deployer.generation.runtime import runtime_image

COMPILE_AND_IMPORT = """\
import sys, zipfile
assert sys.version_info[:2] == (3, 9), sys.version
path = "/root/deployer.pyz"
with zipfile.ZipFile(path) as archive:
    names = [name for name in archive.namelist() if name.endswith(".py")]
    for name in names:
        compile(archive.read(name), name, "exec", dont_inherit=True)
sys.path.insert(0, path)
for name in names:
    if name != "__main__.py":
        __import__(name[:-3].replace("/", ".").replace(".__init__", ""))
print(len(names), "understood")
"""


@pytest.mark.parametrize("release", ["bullseye"])
def test_the_host_runtime_compiles_and_imports_on_the_oldest_python(machines, fresh_hosts, release):
    (host,) = fresh_hosts(1, release=release)
    (host.disk / "root/root/deployer.pyz").write_bytes(runtime_image())

    ssh = ["ssh", "-F", str(machines.lab.ssh_config), host.name]
    answer = subprocess.run(
        [*ssh, "python3 -I -W error -"], input=COMPILE_AND_IMPORT, check=False, capture_output=True, text=True, timeout=60
    )

    assert answer.stderr == ""
    assert answer.stdout.endswith("understood\n")
