"""sudo and sshd are asked before anything changes; what was wrong before is not held against a deployment."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from deployer.formats.etc_readers import READERS, reader_of
from deployer.formats.manifest import EtcEntry, Manifest
from deployer.host.refusals import ActivationRefused
from deployer.host.system_port import RealSystem
from deployer.host.verdict import plan_for
from modules.etc import REAL
from tests.host.test_obstacles import Host
from tests.host.world import link, real_file

MAIN = "Defaults env_reset\n@includedir /etc/sudoers.d\n"


class SudoHost(Host):
    """One that has sudo."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        (self.etc / "sudoers.d").mkdir()
        (self.etc / "sudoers").write_text(MAIN)

    def system(self, *entries: EtcEntry) -> str:
        self.number += 1
        texts = {entry.path: entry.path for entry in entries}
        return self.world.add_system(f"s{self.number}", Manifest(etc=entries), texts)


@pytest.fixture
def host(tmp_path: Path) -> SudoHost:
    return SudoHost(tmp_path / "host")


def rule(name: str, *, replace: bool = False) -> EtcEntry:
    """A rule whose text is its path."""
    return real_file(f"sudoers.d/{name}", f"sudoers.d/{name}", replace=replace)


def test_what_a_program_of_the_host_refuses_is_refused_and_nothing_has_changed(host: SudoHost) -> None:
    before = host.world.etc()

    with pytest.raises(ActivationRefused) as refused:
        host.deploy(rule("fine"), rule("wrong"))

    assert [(problem.target, problem.message) for problem in refused.value.problems] == [
        ("/etc/sudoers.d/wrong", "visudo of this host refuses it: /etc/sudoers.d/wrong: it is wrong")
    ]
    assert host.world.etc() == before
    assert not (host.world.root / "var/lib/deployer/verify").exists()
    host.deploy(rule("fine"))


def test_what_was_refused_before_is_none_of_the_deployments(host: SudoHost) -> None:
    (host.etc / "sudoers.d/theirs").write_text("wrong")

    host.deploy(rule("fine"))

    assert (host.etc / "sudoers.d/fine").exists()


def test_a_wrong_file_may_be_replaced_and_not_be_brought_back(host: SudoHost) -> None:
    (host.etc / "sudoers.d/theirs").write_text("wrong")
    host.deploy(rule("theirs", replace=True))

    with pytest.raises(ActivationRefused, match=r"/etc/sudoers.d/theirs: visudo of this host refuses it"):
        host.deploy()


def test_what_no_program_reads_is_not_judged(host: SudoHost) -> None:
    host.deploy(real_file("wrong", "wrong"), real_file("sudoers-wrong", "sudoers-wrong"))


def test_the_plan_tells_why_a_file_is_real(host: SudoHost) -> None:
    machine, system = host.world.machine(), host.system(rule("fine"), real_file("cron.d/job", "cron.d/job"))

    plan = plan_for(machine, system, machine.store.manifest(system), repair=False)

    assert {action.target: action.because for action in plan.actions if action.kind == "etc"} == {
        "/etc/cron.d/job": "a real file: cron reads no file that has several names, as those of the store may",
        "/etc/sudoers.d/fine": "a real file: sudo must work also where the store does not",
    }


def test_modules_and_hosts_have_one_list_of_readers() -> None:
    assert [reader.pattern for reader in READERS] == list(REAL)
    assert reader_of("sudoers.d/a/b") is None
    assert reader_of("cron.daily/a") is None


def test_what_is_made_is_labelled_before_it_is_used(host: SudoHost) -> None:
    host.deploy(rule("fine"), EtcEntry("app/d", "directory", mode="0755"))

    labelled = host.world.system._memory.load()["labelled"]
    assert labelled == ["/etc/app", "/etc/app/d", "/etc/sudoers.d/fine"]
    host.deploy(rule("fine"), EtcEntry("app/d", "directory", mode="0755"))
    assert host.world.system._memory.load()["labelled"] == labelled


def test_labels_are_set_by_the_hosts_own_program_where_selinux_is_on(tmp_path: Path) -> None:
    program, told, enforce = tmp_path / "restorecon", tmp_path / "told", tmp_path / "enforce"
    program.write_text(f'#!/bin/sh\necho "$@" >{told}.arguments\nexec cat >{told}\n')
    program.chmod(0o755)
    system = RealSystem(selinux=str(enforce), restorecon=str(program))
    strange = os.fsdecode(b"/etc/a \n\xff")

    system.relabel([strange])
    assert not told.exists()
    enforce.write_text("1")
    system.relabel([])
    assert not told.exists()
    system.relabel(["/etc/-rf", strange])

    assert told.read_bytes() == b"/etc/-rf\0/etc/a \n\xff\0"
    assert (tmp_path / "told.arguments").read_text() == "-i -0 -f -\n"


def rules(text: str, program: str = "/usr/sbin/nft") -> EtcEntry:
    """An entry that names who judges it."""
    return dataclasses.replace(link("rules.nft", text), validate=(program, "-c", "-f", "{file}"))


@pytest.fixture
def judging(host: SudoHost) -> SudoHost:
    """One that has nft."""
    (host.world.root / "usr/sbin").mkdir(parents=True)
    (host.world.root / "usr/sbin/nft").write_text("")
    return host


def test_an_entrys_own_command_judges_its_content(judging: SudoHost) -> None:
    before = judging.world.etc()
    system = judging.world.add_system("wrong", Manifest(etc=(rules("wrong"),)), {"rules.nft": "wrong"})

    with pytest.raises(ActivationRefused) as refused:
        judging.activate(system)

    assert [(problem.target, problem.message) for problem in refused.value.problems] == [
        ("/etc/rules.nft", "nft of this host refuses it: /etc/rules.nft: it is wrong")
    ]
    assert judging.world.etc() == before


def test_a_command_that_the_host_does_not_have_is_refused(host: SudoHost) -> None:
    system = host.world.add_system("fine", Manifest(etc=(rules("fine"),)), {"rules.nft": "fine"})

    with pytest.raises(ActivationRefused, match="/usr/sbin/nft is to judge it, and this host has no such program"):
        host.activate(system)


def test_who_judges_makes_no_difference_to_what_stands_there(judging: SudoHost) -> None:
    machine = judging.world.machine()
    judging.activate(judging.world.add_system("one", Manifest(etc=(rules("fine"),)), {"rules.nft": "fine"}))
    following = judging.world.add_system("two", Manifest(etc=(rules("fine", "/bin/other"),)), {"rules.nft": "fine"})

    plan = plan_for(machine, following, machine.store.manifest(following), repair=False)

    assert [action.kind for action in plan.actions] == ["generation"]


REQUIRES = {"/usr/sbin/nft": "the firewall", "nobody-has-it": "the database", "alice": "the files"}


def test_what_the_host_must_have_is_named_or_refused(judging: SudoHost) -> None:
    machine = judging.world.machine()
    judging.world.system._memory.save({"elsewhere passwd": {"alice": 1000}})
    system = judging.world.add_system("one", Manifest(requires=REQUIRES), {})

    plan = plan_for(machine, system, machine.store.manifest(system), repair=False)

    assert [(action.kind, action.operation, action.target, action.because) for action in plan.actions[:1]] == [
        ("host", "use", "/usr/sbin/nft", "the host's own, for the firewall")
    ]
    assert [(problem.target, problem.message) for problem in plan.problems] == [
        ("account nobody-has-it", "this host has none, and the database needs it")
    ]
