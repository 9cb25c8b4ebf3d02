"""From a configuration to the store path that a host is brought to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployer.build import realise
from deployer.config import Evaluator, HostView
from deployer.errors import DeployerError
from deployer.formats.manifest import Manifest
from deployer.generation import System, instantiate, make_system, runtime
from deployer.packages import PackageSet
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian
from deployer.store import Store, verify

EVERYTHING = """\
packages: [tool]
etc:
  app/app.conf: {text: "name = ${host.name}\\n"}
  app/secret: {text: "x", mode: "0600"}
  app/data: {source: data}
  app/tool.txt: {source: "${pkgs.tool}/share/tool.txt"}
  app/dir: {kind: directory}
  app/link: {target: /dev/null}
systemd:
  services:
    app: {wanted_by: [multi-user.target], service: {ExecStart: /bin/true /etc/app/app.conf}}
users: {app: {}}
sysctl: {net.core.somaxconn: 4096}
tmpfiles: {rules: ["d /var/lib/app 0755 app app -"]}
"""


def fleet(directory: Path, configuration: str) -> Path:
    (directory / "data").mkdir(exist_ok=True)
    (directory / "data" / "one").write_text("1")
    (directory / "tool.tar").write_bytes(_archive())
    (directory / "packages.yaml").write_text("tool: {kind: archive, file: tool.tar}\n")
    path = directory / "configuration.yaml"
    path.write_text(configuration)
    return path


def _archive() -> bytes:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode, content in (("bin/tool", 0o755, b"#!/bin/sh\n"), ("share/tool.txt", 0o644, b"text\n")):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def system(path: Path, host: str = "web1") -> tuple[System, PackageSet]:
    packages = PackageSet.load(path.with_name("packages.yaml"))
    config = Evaluator(packages=packages).evaluate(HostView(host), path)
    return make_system(config, packages, runtime("/nix/store")), packages


def test_the_same_configuration_has_the_same_path_wherever_it_lies(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    first, _ = system(fleet(tmp_path / "a", EVERYTHING))
    second, _ = system(fleet(tmp_path / "b", EVERYTHING))

    assert first.output == second.output


def test_hosts_differ_only_where_their_configuration_reads_what_differs(tmp_path: Path):
    reads = fleet(tmp_path, EVERYTHING)
    assert system(reads, "web1")[0].output != system(reads, "web2")[0].output

    reads_not = fleet(tmp_path, EVERYTHING.replace("${host.name}", "all"))
    assert system(reads_not, "web1")[0].output == system(reads_not, "web2")[0].output


async def test_what_is_built_is_what_the_manifest_says(tmp_path: Path):
    made, packages = system(fleet(tmp_path, EVERYTHING))
    store = Store(tmp_path / "root")

    await realise(store, [instantiate(store, made, packages)])

    tree = store.physical(made.output)
    assert verify(store) == ()
    assert Manifest.from_bytes((tree / "manifest.json").read_bytes()) == made.manifest
    assert (tree / "etc/app/app.conf").read_text() == "name = web1\n"
    assert (store.root / str((tree / "etc/app/data").readlink()).lstrip("/") / "one").read_text() == "1"
    assert str((tree / "etc/app/tool.txt").readlink()) == f"{packages.output_path('tool')}/share/tool.txt"
    assert str((tree / "sw").readlink()) == made.manifest.environment
    assert str((tree / "runtime").readlink()) == made.manifest.runtime
    closure = {str(path) for path in store.closure([made.output])}
    assert {packages.output_path("tool"), made.manifest.environment, made.manifest.runtime} <= closure


async def test_a_program_that_a_check_runs_is_in_the_closure(tmp_path: Path):
    check = 'checks: {a: {kind: command, command: ["${pkgs.tool}/bin/tool"]}, b: {kind: command, command: [/bin/true]}}\n'
    made, packages = system(fleet(tmp_path, check))
    store = Store(tmp_path / "root")

    await realise(store, [instantiate(store, made, packages)])

    assert [one.command for one in made.manifest.checks] == [(f"{packages.output_path('tool')}/bin/tool",), ("/bin/true",)]
    assert packages.output_path("tool") in {str(path) for path in store.closure([made.output])}


def test_checks_from_the_controller_are_no_part_of_the_system(tmp_path: Path):
    own = "a: {kind: tcp, port: 80}"
    outside = "b: {kind: http, from: controller, url: 'http://${host.name}/', status: 2xx}"
    plain, _ = system(fleet(tmp_path, f"checks: {{{own}}}\n"))

    watched, _ = system(fleet(tmp_path, f"checks: {{{own}, {outside}}}\n"), "web7")

    assert watched.output == plain.output
    assert [check.name for check in watched.manifest.checks] == ["a"]
    assert [(check.name, check.url, check.statuses) for check in watched.controller_checks] == [
        ("b", "http://web7/", ("200-299",))
    ]


def test_the_manifest_tells_hosts_all_that_the_configuration_declares(tmp_path: Path):
    manifest = system(fleet(tmp_path, EVERYTHING))[0].manifest

    kinds = {entry.path: entry.kind for entry in manifest.etc}
    assert kinds["app/app.conf"] == "link"
    assert kinds["app/secret"] == "file"
    assert kinds["app/dir"] == "directory"
    assert kinds["app/link"] == "symlink"
    assert kinds["systemd/system/app.service"] == "link"
    assert kinds["systemd/system/multi-user.target.wants/app.service"] == "symlink"
    assert [unit.name for unit in manifest.units] == ["app.service"]
    assert [user.name for user in manifest.users] == ["app"]
    assert manifest.sysctl == {"net.core.somaxconn": "4096"}
    assert manifest.tmpfiles == ("d /var/lib/app 0755 app app -",)


def test_an_empty_configuration_declares_nothing(tmp_path: Path):
    assert system(fleet(tmp_path, "{}\n"))[0].manifest.is_empty


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("packages: [tol]\n", "tol"),
        ("etc: {a: {source: missing}}\n", "missing"),
        ("etc: {systemd/system/a.service: {text: x}}\nsystemd: {units: {a.service: {text: y}}}\n", "a.service"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_built(tmp_path: Path, configuration: str, message: str):
    with pytest.raises(DeployerError, match=message):
        system(fleet(tmp_path, configuration))


@pytest.mark.parametrize("text", ["packages: [app]\n", "etc: {app: {text: '${pkgs.app}'}}\n"])
def test_what_is_worth_a_word_of_a_package_is_told_of_systems_that_have_it(tmp_path: Path, text: str):
    path = fleet(tmp_path, text)
    node = LockedDeb("nodejs", "18.20.4+dfsg-1", "amd64", "pool/nodejs.deb", 1, "00" * 32)
    lock = Lock({"node": LockedDebian(("bookworm",), ("nodejs",), "amd64", (node,))})
    (tmp_path / "deployer.lock").write_text(str(lock))
    (tmp_path / "packages.yaml").write_text(
        "node: {kind: debian, suite: bookworm, packages: [nodejs]}\napp: {kind: npm, interpreter: node, lock: app.json}\n"
    )
    (tmp_path / "app.json").write_text('{"lockfileVersion": 3, "packages": {"": {"engines": {"node": ">=20"}}}}')

    (warning,) = system(path)[0].warnings

    assert warning.endswith("package 'app': Node 18.20.4 of 'node' is not what these want: the project (>=20)")
    path.write_text("{}\n")
    assert system(path)[0].warnings == ()


def test_the_derivation_is_one_that_nix_reads(tmp_path: Path):
    made, _ = system(fleet(tmp_path, EVERYTHING))

    entries = json.loads(made.made.derivation.environment["entries"])
    assert [entry["path"] for entry in entries][:2] == ["manifest.json", "runtime"]
    assert made.made.derivation.outputs["out"].path == str(made.output)


def test_the_system_says_what_programs_the_host_must_run(tmp_path: Path):
    (tmp_path / "packages.yaml").write_text(
        "root: {kind: debian, suite: bookworm, packages: [x], architecture: arm64}\n"
        "toolchain: {kind: debian, suite: bookworm, packages: [x], architecture: amd64}\n"
        "shell: {kind: build, toolchain: toolchain, script: x}\n"
        "text: {kind: fetch, file: packages.yaml}\n"
    )
    locked = {name: LockedDebian(("bookworm",), ("x",), kind, ()) for name, kind in (("root", "arm64"), ("toolchain", "amd64"))}
    (tmp_path / "deployer.lock").write_text(str(Lock(locked)))
    path = tmp_path / "configuration.yaml"

    path.write_text('etc: {a: {text: "${pkgs.root}"}, b: {source: "${pkgs.text}"}}\n')
    assert system(path)[0].manifest.architectures == {"aarch64": "root"}

    path.write_text("packages: [shell]\n")
    made, _ = system(path)
    assert made.manifest.architectures == {"x86_64": "shell"}
    assert Manifest.from_bytes(made.document) == made.manifest
