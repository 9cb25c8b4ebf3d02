"""`deployer audit` from a signed repository, for hosts and for packages without hosts."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest

from deployer.packages import mirrors
from tests.packages.repository import Repository

pytestmark = pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
INVENTORY = """
packages: packages.yaml
hosts:
  web1: {configuration: web.yaml}
  web2: {configuration: web.yaml}
  db1: {configuration: db.yaml}
  bare1: {configuration: bare.yaml}
"""
PACKAGES = """
tool: {kind: debian, suite: testing, packages: [tool]}
other: {kind: debian, suite: testing, packages: [other]}
unused: {kind: debian, suite: testing, packages: [other]}
made: {kind: build, toolchain: other, script: "touch $out"}
linked: {kind: build, toolchain: other, inputs: [tool], script: "touch $out"}
"""
CONFIGURATIONS = {
    "web.yaml": "etc: {path-of-tool: {text: '${pkgs.tool}'}}",
    "db.yaml": "etc: {path-of-made: {text: '${pkgs.made}'}}",
    "bare.yaml": "etc: {motd: {text: hello}}",
}


@pytest.fixture
def suites(tmp_path, keys, monkeypatch):
    """A published suite and its security suite, which this machine names; both are signed by what counts as Debian's key."""
    monkeypatch.setattr(mirrors, "_KEYRINGS", (keys[1],))
    monkeypatch.setenv(mirrors.VARIABLE, f"file://{tmp_path}/mirror")
    (tmp_path / "mirror").mkdir()
    suite, security = (Repository(tmp_path / "mirror", keys[1], keys[0], suite=name) for name in ("testing", "testing-security"))
    suite.add("tool", "1.0", Depends="lib")
    suite.add("lib", "1.0")
    suite.add("other", "1.0")
    suite.publish(age=timedelta(hours=1))
    security.publish()
    return suite, security


@pytest.fixture
def audit(deployer, suites, tmp_path):
    """Run `deployer audit` beside a locked inventory."""
    for name, text in {"inventory.yaml": INVENTORY, "packages.yaml": PACKAGES, **CONFIGURATIONS}.items():
        (tmp_path / "work" / name).write_text(text)
    assert deployer("lock").code == 0
    return lambda *arguments: deployer("audit", *arguments)


def test_nothing_is_due_after_a_lock(audit):
    answer = audit()

    assert (answer.code, answer.out, answer.err) == (0, "Nothing to update.\n", "")


def test_packages_without_an_inventory_are_locked_too(deployer, suites, tmp_path):
    missing = deployer("lock")
    assert (missing.code, "there is neither an inventory nor a packages.yaml here" in missing.err) == (2, True)
    assert "inventory.yaml" in deployer("-i", "other/inventory.yaml", "lock").err
    for directory in ("work", "elsewhere"):
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / directory / "packages.yaml").write_text(PACKAGES)

    here, there = deployer("lock"), deployer("lock", "--packages", str(tmp_path / "elsewhere/packages.yaml"))

    assert (here.code, there.code, here.out) == (0, 0, there.out)
    assert (tmp_path / "work/deployer.lock").read_bytes() == (tmp_path / "elsewhere/deployer.lock").read_bytes()


def test_a_security_fix_is_told_of_the_hosts_that_use_the_package(audit, suites):
    suites[1].add("lib", "1.0+deb1u1")
    suites[1].publish()

    answer = audit()

    assert answer.code == 1
    assert answer.out == (
        "web1 web2:\nSET   PACKAGE  LOCKED  NEWEST      SUITES\ntool  lib      1.0     1.0+deb1u1  testing-security\n\n"
    )
    assert "Add testing-security to the suites of 'tool'" in answer.err
    assert "deployer lock --update tool, and deploy" in answer.err
    assert audit("db1", "bare1").code == 0
    assert audit("--on", "web*").code == 1


def test_a_fix_is_had_by_the_suite_that_is_advised(audit, deployer, suites, tmp_path):
    suites[1].add("lib", "1.0+deb1u1")
    suites[1].publish()
    with_security = PACKAGES.replace(
        "tool: {kind: debian, suite: testing,", "tool: {kind: debian, suite: [testing, testing-security],"
    )
    (tmp_path / "work" / "packages.yaml").write_text(with_security)

    assert deployer("lock", "--update", "tool").code == 0

    assert (audit().code, audit().out) == (0, "Nothing to update.\n")


def test_what_a_build_was_made_with_is_told_too_and_other_suites_are_no_failure(audit, suites):
    suites[0].add("other", "1.1")
    suites[0].publish()

    answer = audit("--json")

    update = {
        "set": "other",
        "package": "other",
        "architecture": "amd64",
        "locked": "1.0",
        "newest": "1.1",
        "suites": ["testing"],
        "security": False,
        "runs": False,
    }
    assert answer.code == 0
    assert [json.loads(line) for line in answer.out.splitlines()] == [
        {"host": "bare1", "sets": [], "toolchains": [], "updates": []},
        {"host": "db1", "sets": ["other"], "toolchains": ["other"], "updates": [update]},
        {"host": "web1", "sets": ["tool"], "toolchains": [], "updates": []},
        {"host": "web2", "sets": ["tool"], "toolchains": [], "updates": []},
    ]


def test_what_only_builds_use_is_told_apart_from_what_may_run_on_a_host(audit, suites, tmp_path):
    for name in ("db", "web", "bare"):
        used = {"db": "${pkgs.linked}", "web": "${pkgs.made} ${pkgs.other}", "bare": "${pkgs.made}"}[name]
        (tmp_path / "work" / f"{name}.yaml").write_text(f"etc: {{paths: {{text: '{used}'}}}}")
    suites[1].add("other", "1.0+deb1u1")
    suites[1].add("tool", "1.0+deb1u1")
    suites[1].publish()

    answer = audit()

    assert answer.code == 1
    assert [" ".join(line.split()[:2]) for line in answer.out.splitlines() if line] == [
        *("db1:", "SET PACKAGE", "tool tool"),
        *("web1 web2:", "SET PACKAGE", "other other"),
        *("bare1 db1,", "SET PACKAGE", "other other"),
    ]
    assert "\nbare1 db1, only to build:\n" in answer.out
    assert "2 newer versions, 2 of them in a security suite.\n" in answer.err
    assert "2 newer versions, 2 of them in a security suite, 1 of what only builds use.\n" in audit("db1").err


def test_packages_without_an_inventory_are_audited(audit, suites, tmp_path):
    suites[1].add("other", "1.0+deb1u1")
    suites[1].publish()
    (tmp_path / "work" / "inventory.yaml").unlink()

    answer = audit()

    assert answer.code == 1
    assert [line.split()[0] for line in answer.out.splitlines() if line] == ["SET", "other", "unused"]
    assert audit("--packages", "packages.yaml").out == answer.out
    (document,) = (json.loads(line) for line in audit("--json").out.splitlines())
    assert document["sets"] == ["other", "tool", "unused"]
    assert (document["host"], document["toolchains"]) == (None, [])
    assert {update["runs"] for update in document["updates"]} == {None}


def test_an_expired_index_is_an_error_and_not_an_answer(audit, suites):
    suites[1].publish(age=timedelta(days=9), valid_for=timedelta(days=7))

    answer = audit()

    assert (answer.code, answer.out) == (2, "")
    assert "the package index of testing-security cannot be used" in answer.err


def test_without_a_lock_the_command_that_makes_one_is_told(audit, tmp_path):
    (tmp_path / "work" / "deployer.lock").unlink()

    answer = audit("--packages", "packages.yaml")

    assert answer.code == 2
    assert answer.err.count("Run 'deployer lock'.") == 3


def test_hosts_and_a_file_of_packages_do_not_go_together(audit):
    assert audit("web1", "--packages", "packages.yaml").code == 2
