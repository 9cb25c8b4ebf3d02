"""Where packages come from, shown on hosts: a real Nix's binary cache, and two builders that make the same of one lock."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer.build import BuildSettings, realise
from deployer.packages import PackageSet
from deployer.packages.locking import lock_packages
from deployer.store import Store
from tests.formats.oracle import Nix
from tests.lab.fleet import Fleet
from tests.lab.standing import shell

ISOLATED = (
    *("bwrap", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin"),
    *("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--ro-bind", "/etc", "/etc"),
    *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),
)
"""Nix sees a `/nix` of the test's own: this machine's is not touched."""
EXPRESSION = """
let
  made = name: script: derivation {{
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-ec" ("PATH=/usr/bin\\n" + script) ];
  }};
  libraries = made "libraries" "mkdir $out; cp -L {libraries} $out";
in made "openssl" ''
  mkdir $out $out/bin
  cp -L {program} $out/program
  printf '#!/bin/sh\\nexec ${{libraries}}/{loader} --library-path ${{libraries}} %s/program "$@"\\n' $out >$out/bin/openssl
  chmod +x $out/bin/openssl
''
"""
SETS: dict[str, Any] = {
    "toolchain": {"kind": "debian", "suite": "bookworm", "packages": ["coreutils", "dash"]},
    "words": {
        "kind": "build",
        "source": "./src",
        "toolchain": "toolchain",
        "script": "mkdir $out && sort words >$out/words && ls -l --time-style=full-iso . >$out/listing && id >$out/id\n",
    },
}


class IsolatedNix(Nix):
    """A Nix whose store is `/nix/store`, in a mount namespace of each command's own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, store_dir="/nix/store")
        (directory / "nix").mkdir()
        self.environment |= {"NIX_STATE_DIR": "/nix/var/nix", "NIX_LOG_DIR": "/nix/var/log"}

    def run(self, *command: str, stdin: bytes = b"", check: bool = True) -> Any:
        here = str(self.directory)
        return super().run(*ISOLATED, "--bind", here, here, "--bind", f"{here}/nix", "/nix", *command, stdin=stdin, check=check)


def fetch(machines: Any, store: Store, packages: PackageSet, name: str) -> None:
    """What a package is made from: a lab has no way to a mirror."""
    made = packages.made(name)
    packages.write(store, [made])
    machines.do(realise(store, [one.path for one in made.inputs], settings=BuildSettings()))


@pytest.mark.nix
def test_a_program_from_a_real_nix_and_its_cache_runs_on_hosts_without_nix(machines, fresh_hosts, tmp_path: Path):
    program, nix, cache = shutil.which("openssl"), IsolatedNix(tmp_path), f"file://{tmp_path}/cache"
    assert program is not None
    libraries = re.findall(r"(?<=[\t ])/\S+", subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout)
    loader = next(Path(library).name for library in libraries if "/ld-linux" in library)
    (tmp_path / "openssl.nix").write_text(EXPRESSION.format(libraries=" ".join(libraries), program=program, loader=loader))
    (tmp_path / "secret").write_text(nix.text("nix", "key", "generate-secret", "--key-name", "real-nix-1"))
    public = nix.run("nix", "key", "convert-secret-to-public", stdin=(tmp_path / "secret").read_bytes()).stdout.decode().strip()
    path = nix.text("nix-build", "--no-out-link", str(tmp_path / "openssl.nix"))
    nix.run("nix", "copy", "--to", f"{cache}?secret-key={tmp_path}/secret", path)
    hosts = [fresh_hosts(1, release=release)[0] for release in ("bookworm", "bullseye")]
    (tmp_path / "fleet").mkdir()
    fleet = Fleet(tmp_path / "fleet", machines.lab, *hosts)
    fleet.packages = {"openssl": {"kind": "nix", "path": path}}
    fleet.configure({"packages": ["openssl"]})

    untrusted = fleet.deploy("--substituter", cache)
    deployed = fleet.deploy("--substituter", cache, "--trusted-key", public)

    assert (untrusted.exit_code, "real-nix-1 signed it" in untrusted.text) == (2, True), untrusted.text
    assert deployed.exit_code == 0, deployed.text
    for host in hosts:
        script = "readlink -f $(command -v openssl); openssl dgst -sha256 -r /etc/passwd; cat /etc/passwd; command -v nix-store"
        where, digest, passwd = shell(machines.lab, host, f"sh -lc '{script}'").split("\n", 2)
        assert where == f"{path}/bin/openssl"
        assert digest.split()[0] == hashlib.sha256(passwd.encode() + b"\n").hexdigest()


def test_two_builders_make_the_same_of_one_lock_and_challenge_tells(machines, fresh_hosts, url, tmp_path: Path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/words").write_text("b\na\n")
    fleet, cache = Fleet(tmp_path, machines.lab), f"file://{tmp_path}/cache"
    fleet.packages = SETS
    fleet.run("--version")  # writes the package set
    machines.do(lock_packages(tmp_path / "packages.yaml"))
    packages = PackageSet.load(tmp_path / "packages.yaml")
    here, there = tmp_path / "here", tmp_path / "there"
    paths = []

    for store, release in ((here, "bookworm"), (there, "trixie")):
        fetch(machines, Store(store), packages, "toolchain")
        (host,) = fresh_hosts(1, release=release)
        build = ("package", "build", "words", "--packages", str(tmp_path / "packages.yaml"), "--builder", url(host))
        built = fleet.run("--store-root", str(store), *build)
        assert built.exit_code == 0, built.text
        paths.append(built.stdout.split()[-1])

    assert Path(paths[0]).name == Path(paths[1]).name
    copied = fleet.run("--store-root", str(there), "store", "copy", "--to", cache, paths[1])
    assert copied.exit_code == 0, copied.text
    told = fleet.run("--store-root", str(here), "store", "challenge", "-r", "--substituter", cache, paths[0])
    assert told.exit_code == 0, told.text
    assert "0 different, 0 unknown" in told.text, told.text
