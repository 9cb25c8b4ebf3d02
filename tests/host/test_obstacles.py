"""What a host's disk puts in the way of an entry: it works, or the plan refuses it with the place and a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployer.formats.manifest import EtcEntry, Manifest
from deployer.formats.messages import CONFIRMED, Plan
from deployer.host.activate import Driver
from deployer.host.lock import locked
from deployer.host.prepare import lay_out, prepare
from deployer.host.verdict import plan_for
from tests.host.world import TOKEN, World, activation, link, real_file

LONG = "ä" * 127 + "x"
"""As long as a name may be: 255 bytes."""
NAMES = [" a b ", "-rf", "--help", LONG, "ünïcode", "a\u202eb", "%s{}", "$(id)", "a'\"`b", "#x", "~", "*"]


class Host:
    """A world, and what has been deployed to it."""

    def __init__(self, directory: Path) -> None:
        self.world, self.number = World(directory), 0

    @property
    def etc(self) -> Path:
        return self.world.root / "etc"

    def system(self, *entries: EtcEntry) -> str:
        self.number += 1
        texts = {entry.path: f"text of {entry.path}" for entry in entries if entry.kind in ("link", "file")}
        return self.world.add_system(f"s{self.number}", Manifest(etc=entries), texts)

    def plan(self, *entries: EtcEntry) -> Plan:
        machine, system = self.world.machine(), self.system(*entries)
        return plan_for(machine, system, machine.store.manifest(system), repair=False)

    def refusals(self, *entries: EtcEntry) -> list[str]:
        return [f"{problem.target}: {problem.message}" for problem in self.plan(*entries).problems]

    def deploy(self, *entries: EtcEntry) -> None:
        """Does what its plan says, or fails."""
        self.activate(self.system(*entries))

    def activate(self, system: str) -> None:
        """The same, of a system that is in the store."""
        machine = self.world.machine()
        lay_out(machine.disk)
        foretold = plan_for(machine, system, machine.store.manifest(system), repair=False)
        with locked(machine.disk):
            record, _ = prepare(machine, activation(system, machine.profile.current().system, max(1, self.number)))
            assert record is not None
            confirmation = self.world.root / "var/lib/deployer/transaction/confirmation"
            confirmation.write_text(f'{{"transaction": "{record.transaction}", "token": "{TOKEN}"}}')
            ended = Driver(machine).run(record.transaction)
            assert (ended.state, ended.reason) == (CONFIRMED, "")
        done = [(action.kind, action.operation, action.target) for action in machine.events.summary()[0]]
        foretold_actions = [(action.kind, action.operation, action.target) for action in foretold.actions]
        assert [action for action in done if action[0] != "kept"] == foretold_actions


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


def entry(path: str, kind: str = "link", *, replace: bool = False) -> EtcEntry:
    text = f"text of {path}"
    return real_file(path, text, replace=replace) if kind == "file" else link(path, text, replace=replace)


def directory(path: str) -> EtcEntry:
    return EtcEntry(path, "directory", mode="0755")


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_made_taken_over_and_given_back(host: Host, name: str, kind: str) -> None:
    (host.etc / name).write_text("theirs")
    before = host.world.etc()[name]

    host.deploy(entry(name, kind, replace=True), entry("one directory/" + name, kind))
    assert (host.etc / "one directory" / name).is_symlink() == (kind == "link")
    host.deploy()

    assert host.world.etc()[name] == before
    assert not (host.etc / "one directory").exists()


def test_a_version_by_hand_of_the_longest_name_is_kept(host: Host) -> None:
    host.deploy(entry(LONG, "file"))
    (host.etc / LONG).write_text("by hand")

    host.deploy()

    kept = list((host.world.root / "var/lib/deployer/kept").iterdir())
    assert [path.read_text() for path in kept] == ["by hand"]


def test_a_file_with_several_names_is_not_taken_over(host: Host) -> None:
    (host.etc / "app.conf").write_text("theirs")
    os.link(host.etc / "app.conf", host.etc / "other.conf")

    plan = host.plan(entry("app.conf", replace=True))

    assert [problem.message for problem in plan.problems] == [
        "the file that is to be kept has 2 names (hard links), and would return with one"
    ]
    assert "cp -p /etc/app.conf" in plan.problems[0].remedy


def test_a_second_name_for_a_file_of_ours_is_no_obstacle(host: Host) -> None:
    host.deploy(entry("app.conf", "file"))
    os.link(host.etc / "app.conf", host.etc / "backup")

    host.deploy(entry("app.conf"))

    assert (host.etc / "app.conf").is_symlink()
    assert (host.etc / "backup").read_text() == "text of app.conf"


def test_extended_attributes_of_what_was_there_return(host: Host) -> None:
    (host.etc / "app.conf").write_text("theirs")
    os.setxattr(host.etc / "app.conf", "user.origin", b"\x00binary")

    host.deploy(entry("app.conf", "file", replace=True))
    assert os.listxattr(host.etc / "app.conf") == []
    host.deploy()

    assert os.getxattr(host.etc / "app.conf", "user.origin") == b"\x00binary"


@pytest.mark.parametrize("first", [[entry("app/a/b"), entry("app/c")], [directory("app"), entry("app/a/b")], [directory("app")]])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_directory_of_ours_gives_way_to_a_file_and_comes_back(host: Host, first: list[EtcEntry], kind: str) -> None:
    host.deploy(*first)
    before = host.world.etc()

    host.deploy(entry("app", kind))
    assert not (host.etc / "app").is_dir()
    host.deploy(*first)

    assert host.world.etc() == before


@pytest.mark.parametrize("first", [[entry("app/a/b")], [directory("app"), entry("app/a/b")], [directory("app")]])
def test_a_directory_of_ours_in_which_something_else_lies_is_not_replaced(host: Host, first: list[EtcEntry]) -> None:
    host.deploy(*first)
    (host.etc / "app/a").mkdir(exist_ok=True)
    (host.etc / "app/a/theirs").write_text("theirs")

    found = host.refusals(entry("app"))

    assert len(found) == 1
    assert found[0].startswith("/etc/app: a ")
    assert (host.etc / "app/a/theirs").read_text() == "theirs"
