"""A plan says what the transaction then does, in its order; and refuses what could not end well."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import EtcEntry, Group, Manifest, Unit, User
from deployer.formats.messages import CONFIRMED, Plan
from deployer.host.activate import Driver
from deployer.host.fingerprints import left_as
from deployer.host.ledger import Ledger, OwnedPath
from deployer.host.lock import locked
from deployer.host.machine import UnitStatus
from deployer.host.plan_inputs import Observed
from deployer.host.planning import plan_activation
from deployer.host.prepare import lay_out, prepare
from deployer.host.standing import read_request
from deployer.host.verdict import observe_now, plan_for
from tests.host.test_crashes import first_system, second_system
from tests.host.world import TOKEN, World, activation, digest, link, real_file

TEXT = "[Service]\nExecStart=/bin/web\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


def planned(world: World, system: str, *, repair: bool = False) -> Plan:
    machine = world.machine()
    return plan_for(machine, system, machine.store.manifest(system), repair=repair)


def deployed(world: World, system: str, number: int, **more: Any) -> tuple[Plan, list[tuple[str, str, str]]]:
    """The plan that the transaction worked by, and what it then said that it did."""
    machine = world.machine()
    lay_out(machine.disk)
    with locked(machine.disk):
        record, _ = prepare(machine, activation(system, machine.profile.current().system, number, **more))
        assert record is not None
        content = f'{{"transaction": "{record.transaction}", "token": "{TOKEN}"}}'
        (world.root / "var/lib/deployer/transaction/confirmation").write_text(content)
        assert Driver(machine).run(record.transaction).state == CONFIRMED
    return read_request(machine.disk)[1], [key(action) for action in machine.events.summary()[0]]


def key(action: Any) -> tuple[str, str, str]:
    return action.kind, action.operation, action.target


def say(plan: Plan) -> list[str]:
    return [" ".join(key(action)) for action in plan.actions]


def entry_plan(
    entry: EtcEntry, stands: str, *, owned: OwnedPath | None = None, before: EtcEntry | None = None, repair: bool = False
) -> tuple[list[str], list[str]]:
    """Operations and problems for one entry."""
    wishes = {"link": f"link /var/lib/deployer/profile/current/etc/{entry.path}", "symlink": f"link {entry.target}"}
    wishes["file"] = f"file {entry.sha256} {int(entry.mode, 8):o} 0 0"
    wishes["directory"] = f"directory {int(entry.mode, 8):o} 0 0"
    observed = Observed(etc={entry.path: stands.replace("WISH", wishes[entry.kind])}, wishes={entry.path: wishes[entry.kind]})
    ledger = Ledger(etc={entry.path: owned} if owned is not None else {})
    previous = Manifest(etc=(before,) if before is not None else ())
    plan = plan_activation(previous, Manifest(etc=(entry,)), observed, ledger, repair=repair)
    return [action.operation for action in plan.actions], [problem.message for problem in plan.problems]


OURS = OwnedPath("link", target="x")
ADOPTED = OwnedPath("file", adopted=True)


@pytest.mark.parametrize(
    ("entry", "stands", "more", "operations", "problem"),
    [
        (link("a", "x"), "absent", {}, ["add"], ""),
        (link("a", "x"), "file 00 644 0 0", {}, [], "a file is there already, and is not deployer's"),
        (link("a", "x", replace=True), "file 00 644 0 0", {}, ["replace"], ""),
        (link("a", "x"), f"file {digest('x')} 644 0 0", {}, ["replace"], ""),
        (link("a", "x"), f"file {digest('x')} 600 0 0", {}, [], "a file is there already"),
        (link("a", "x", replace=True), "directory 755 0 0", {}, [], "a directory is there already"),
        (link("a", "x", replace=True), "other 755 0 0", {}, [], "a device, socket or pipe is there already"),
        (real_file("a", "x"), "WISH", {}, [], ""),
        (EtcEntry("a", "directory", mode="0750"), "directory 755 0 0", {}, [], "a directory is there already"),
        (EtcEntry("a", "directory", mode="0750", replace=True), "directory 755 0 0", {}, ["replace"], ""),
        (EtcEntry("a", "directory", mode="0750"), "WISH", {}, [], ""),
        (link("a", "x"), "WISH", {"owned": OURS, "before": link("a", "x")}, [], ""),
        (link("a", "x"), "absent", {"owned": OURS, "before": link("a", "x", replace=True)}, [], ""),
        (link("a", "x"), "absent", {"owned": OURS, "before": link("a", "x"), "repair": True}, ["change"], ""),
        (link("a", "x"), "WISH", {"owned": OURS, "before": link("a", "y")}, ["change"], ""),
        (real_file("a", "x"), "file 00 644 0 0", {"owned": OURS, "before": real_file("a", "y")}, ["change"], ""),
        (link("a", "x"), "directory 755 0 0", {"owned": OURS, "before": link("a", "y")}, [], "somebody put a directory"),
        (real_file("a", "x"), "file 00 644 0 0", {"owned": ADOPTED, "before": real_file("a", "y")}, ["replace"], ""),
    ],
)
def test_entries(entry: EtcEntry, stands: str, more: dict[str, Any], operations: list[str], problem: str) -> None:
    found, problems = entry_plan(entry, stands, **more)

    assert found == operations
    assert [problem in message for message in problems] == [True] * bool(problem)


def test_a_change_says_what_changes() -> None:
    before = EtcEntry("a", "file", digest("x"))
    after = dataclasses.replace(before, sha256=digest("y"), mode="0600", group="web")
    observed = Observed(etc={"a": "?"}, wishes={"a": "?"}, owners={})
    plan = plan_activation(
        Manifest(etc=(before,)),
        Manifest(etc=(after,)),
        dataclasses.replace(observed, etc={"a": left_as(OURS)}),
        Ledger(etc={"a": OURS}),
        repair=False,
    )

    assert plan.actions[0].because == "content, mode, group"


@pytest.mark.parametrize("repair", [False, True])
def test_the_transaction_does_what_was_planned_and_says_so_in_that_order(world: World, repair: bool) -> None:
    one, two = first_system(world), second_system(world)

    for number, system in enumerate((one, two, one), 1):
        foretold = planned(world, system)
        assert foretold.problems == ()
        assert foretold.generation == number
        plan, done = deployed(world, system, number)
        assert [key(action) for action in plan.actions] == done
        assert plan.actions == foretold.actions
        assert planned(world, system, repair=repair).actions == ()


def test_a_first_plan_reads_like_this(world: World) -> None:
    assert say(planned(world, first_system(world))) == [
        "group add web",
        "user add web",
        "etc add /etc/deep/er/real",
        "etc replace /etc/motd",
        "etc add /etc/systemd/system/web.service",
        "etc add /etc/web.conf",
        "generation change 1",
        "sysctl change net.ipv4.ip_forward",
        "unit start web.service",
    ]


def test_a_second_plan_reads_like_this(world: World) -> None:
    one, two = first_system(world), second_system(world)
    deployed(world, one, 1)

    assert say(planned(world, two)) == [
        "user add worker",
        "etc change /etc/deep/er/real",
        "etc add /etc/new/directory",
        "etc add /etc/new/link",
        "etc add /etc/systemd/system/web-extra.service",
        "etc change /etc/systemd/system/web.service",
        "etc change /etc/web.conf",
        "generation change 2",
        "etc restore /etc/motd",
        "sysctl restore net.ipv4.ip_forward",
        "unit restart web.service",
        "unit start web-extra.service",
    ]


def test_what_drifted_is_set_right_by_a_repair_only(world: World) -> None:
    one = first_system(world)
    deployed(world, one, 1)
    (world.root / "etc/motd").unlink()
    (world.root / "etc/deep/er/real").write_text("by hand")
    os.chmod(world.root / "etc/deep/er/real", 0o600)
    world.system.set_sysctl("net.ipv4.ip_forward", "0")
    world.systemd.change("stop", ["web.service"], 1)
    text = (world.root / "etc/passwd").read_text()
    (world.root / "etc/passwd").write_text(text.replace("/usr/sbin/nologin", "/bin/sh"))

    assert planned(world, one).actions == ()
    wanted = [
        "user change web",
        "etc change /etc/deep/er/real",
        "etc change /etc/motd",
        "sysctl change net.ipv4.ip_forward",
        "unit start web.service",
    ]
    assert say(planned(world, one, repair=True)) == wanted
    plan, done = deployed(world, one, 2, repair=True)
    assert [action for action in done if "kept" not in str(action)]
    assert say(plan) == wanted
    assert planned(world, one, repair=True).actions == ()


def problems(world: World, manifest: Manifest) -> list[str]:
    system = world.add_system("system", manifest, {})
    found = planned(world, system).problems
    assert all(problem.remedy for problem in found)
    return [f"{problem.target}: {problem.message}" for problem in found]


def test_what_could_not_end_well_is_refused(world: World) -> None:
    (world.root / "etc/linked").symlink_to("/tmp")
    (world.root / "etc/plain").write_text("x")
    (world.root / "etc/systemd/system/theirs.service").write_text(TEXT)
    world.systemd.daemon_reload()
    manifest = Manifest(
        etc=(
            link("linked/below", "x"),
            link("plain/below", "x"),
            real_file("owned", "x"),
            dataclasses.replace(real_file("theirs", "x"), owner="nobody-knows"),
            dataclasses.replace(real_file("ours", "x"), owner="web", group="web"),
        ),
        units=(
            Unit("no-such.service", drop_ins={"a.conf": TEXT}),
            Unit("theirs.service", drop_ins={"a.conf": TEXT}),
            Unit("many@.service", drop_ins={"a.conf": TEXT}),
        ),
        users=(User("alice", uid=5), User("web")),
        groups=(Group("root"),),
        sysctl={"no.such.key": "1", "net.ipv4.ip_forward": "0"},
    )

    assert problems(world, manifest) == [
        "/etc/linked/below: /etc/linked is a link, and /etc/linked/below is to stand below it",
        "/etc/plain/below: /etc/plain is a file, and /etc/plain/below is to stand below it",
        "group root: it is the superuser's",
        "user alice: it is there already, is not deployer's, and has uid 1000",
        "/etc/theirs: it is to belong to the user nobody-knows, and this host has none of that name",
        "sysctl no.such.key: this host's kernel has no such setting",
        "unit no-such.service: this host has no such unit to extend",
    ]


def test_an_entry_of_ours_makes_way_for_one_below_it(world: World) -> None:
    flat = world.add_system("flat", Manifest(etc=(link("a", "x"),), runtime="/nix/store/runtime"), {"a": "x"})
    deep = world.add_system("deep", Manifest(etc=(link("a/b", "x"),), runtime="/nix/store/runtime"), {"a/b": "x"})

    for number, system in enumerate((flat, deep), 1):
        assert planned(world, system).problems == ()
        plan, done = deployed(world, system, number)
        assert [key(action) for action in plan.actions] == done


def test_a_setting_that_is_read_only_is_refused_where_it_would_have_to_change(world: World) -> None:
    world.system._memory.save({"net.ipv4.ip_forward": "0", "kernel.x": "1", "sealed": ["net.ipv4.ip_forward", "kernel.x"]})

    found = problems(world, Manifest(sysctl={"net.ipv4.ip_forward": "1", "kernel.x": "1"}))

    assert found == ["sysctl net.ipv4.ip_forward: this setting is read-only here"]


@pytest.mark.parametrize(
    ("path", "mode", "reason"), [("nix", 0o777, "writable by others"), ("nix/store", 0o1777, "by everybody")]
)
def test_a_store_that_others_may_write_is_refused_before_anything_is_copied(
    world: World, path: str, mode: int, reason: str
) -> None:
    system = world.add_system("system", Manifest(etc=(link("a", "x"),)), {})
    (world.root / path).chmod(mode)

    (found,) = planned(world, system).problems

    assert (found.target, reason in found.message, "chmod go-w" in found.remedy) == ("/nix", True, True)


def test_a_home_is_made_as_planned_and_missing_it_is_drift_that_a_repair_sets_right(world: World) -> None:
    users = tuple(User(name, home=home, create_home=True) for name, home in (("a", "/home/a"), ("b", "/home/b")))
    system = world.add_system("homes", Manifest(users=users, runtime="/nix/store/runtime"), {})
    assert problems(world, Manifest(users=users))[0].startswith("home of user a: /home, in which it is to be")
    (world.root / "home").mkdir()

    foretold = say(planned(world, system))
    plan, done = deployed(world, system, 1)

    assert [line for line in foretold if line.startswith("home")] == ["home add /home/a", "home add /home/b"]
    assert [key(action) for action in plan.actions] == done
    assert observe_now(world.machine(), ()) == ()
    (world.root / "home/b").rmdir()
    assert [(item.kind, item.target) for item in observe_now(world.machine(), ())] == [("home", "/home/b")]
    assert deployed(world, system, 2, repair=True)[1] == [("home", "add", "/home/b")]
    assert (world.root / "home/b").is_dir()


def test_nothing_is_put_where_something_is_mounted(world: World) -> None:
    (world.root / "proc/self").mkdir(parents=True)
    lines = "22 1 0:1 / /etc rw - ext4 /dev/a rw\n23 22 0:2 /x /etc/resolv\\040conf rw - ext4 /dev/a rw\n"
    (world.root / "proc/self/mountinfo").write_text(lines)
    (world.root / "etc/resolv conf").write_text("x")

    assert problems(world, Manifest(etc=(link("resolv conf", "y", replace=True),))) == [
        "/etc/resolv conf: something is mounted there"
    ]


@pytest.mark.parametrize(
    ("unit", "status", "before", "message"),
    [
        (Unit("a.service", drop_ins={"x": TEXT}), UnitStatus("masked"), None, "this host masks it"),
        (Unit("a.service", drop_ins={"x": TEXT}), UnitStatus("masked"), Unit("a.service", masked=True), ""),
        (Unit("a.service", drop_ins={"x": TEXT}), UnitStatus("loaded"), None, ""),
        (Unit("a.service", drop_ins={"x": TEXT}), UnitStatus("loaded", shipped=True), Unit("a.service", TEXT), ""),
        (Unit("a.service", drop_ins={"x": TEXT}), UnitStatus("loaded"), Unit("a.service", TEXT), "no such unit"),
        (Unit("a.service", masked=True), UnitStatus("not-found"), None, ""),
        (Unit("a.service", TEXT), UnitStatus("masked"), None, ""),
    ],
)
def test_units_that_are_extended_are_there(unit: Unit, status: UnitStatus, before: Unit | None, message: str) -> None:
    previous = Manifest(units=(before,) if before is not None else ())
    observed = Observed(units={"a.service": status})

    plan = plan_activation(previous, Manifest(units=(unit,)), observed, Ledger(), repair=False)

    assert [message in problem.message for problem in plan.problems] == [True] * bool(message)


def test_equal_manifests_ask_for_nothing_whatever_the_host_shows(world: World) -> None:
    manifest = Manifest(units=(Unit("web.service", TEXT),), etc=(link("a", "x"),))
    observed = Observed(etc={"a": "absent"}, wishes={"a": "link x"})

    assert plan_activation(manifest, manifest, observed, Ledger(), repair=False) == Plan("", "", 0)


def test_packages_for_other_processors_than_the_hosts_are_refused_before_anything_changes(world: World):
    ours, theirs = Manifest(architectures={"x86_64": "nginx"}), Manifest(architectures={"aarch64": "redis"})

    assert plan_activation(Manifest(), ours, Observed(architecture="x86_64"), Ledger(), repair=False).problems == ()
    (problem,) = plan_activation(Manifest(), theirs, Observed(architecture="x86_64"), Ledger(), repair=False).problems
    assert (problem.target, problem.message) == ("package redis", "its programs are for aarch64, and this host is x86_64")
    assert "architecture" in problem.remedy
