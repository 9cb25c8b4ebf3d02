"""Accounts beside ours: a directory's, renamed ones, ranges of subordinate ids, and whoever edits the files with us."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.manifest import Group, Manifest, User
from deployer.formats.messages import CONFIRMED, ROLLED_BACK, Action
from deployer.host import account_files
from deployer.host.account_draft import Elsewhere
from deployer.host.account_files import AccountsChanged, AccountsLocked, without_edit
from deployer.host.account_texts import GROUP, PASSWD
from deployer.host.accounts import plan_accounts
from deployer.host.accounts_apply import apply_accounts
from deployer.host.activate import Driver
from deployer.host.ledger import Ledger
from deployer.host.lock import locked
from deployer.host.machine import Machine
from deployer.host.name_service import DYNAMIC_IDS, accounts_elsewhere
from deployer.host.prepare import lay_out, prepare
from deployer.host.subordinate_ids import SUBGID, SUBUID, Range, SubordinateIds
from deployer.host.verdict import observe_now, plan_for
from tests.host.test_accounts import Host
from tests.host.world import TOKEN, World, activation

DIRECTORY = Elsewhere({"ldap": 5000, "other": 999}, {"staff": 6000})


class Site:
    """A world in which accounts are deployed."""

    def __init__(self, directory: Path) -> None:
        self.world, self.number = World(directory), 0

    @property
    def memory(self) -> Path:
        return self.world.root.parent / "memory/sysctl.json"

    def directory_has(self, passwd: dict[str, int], group: dict[str, int] | None = None) -> None:
        (self.world.root / "etc/nsswitch.conf").write_text("passwd: files ldap [NOTFOUND=return]\ngroup: files ldap\n")
        document = json.loads(self.memory.read_text())
        self.memory.write_text(json.dumps({**document, "elsewhere passwd": passwd, "elsewhere group": group or {}}))

    def text(self, name: str) -> str:
        return (self.world.root / "etc" / name).read_text()

    def system(self, *accounts: User | Group) -> str:
        self.number += 1
        users = tuple(account for account in accounts if isinstance(account, User))
        groups = tuple(account for account in accounts if isinstance(account, Group))
        return self.world.add_system(f"s{self.number}", Manifest(users=users, groups=groups), {})

    def problems(self, *accounts: User | Group) -> list[str]:
        machine, system = self.world.machine(), self.system(*accounts)
        return [problem.message for problem in plan_for(machine, system, machine.store.manifest(system), repair=False).problems]

    def deploy(self, *accounts: User | Group, before: Callable[[], object] = lambda: None) -> str:
        """Prepare, let somebody else do `before`, and drive; the state in which it ends."""
        machine, system = self.world.machine(), self.system(*accounts)
        lay_out(machine.disk)
        with locked(machine.disk):
            record, _ = prepare(machine, activation(system, machine.profile.current().system, self.number))
            assert record is not None
            confirmation = self.world.root / "var/lib/deployer/transaction/confirmation"
            confirmation.write_text(f'{{"transaction": "{record.transaction}", "token": "{TOKEN}"}}')
            before()
            return Driver(machine).run(record.transaction).state


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "host")


@pytest.fixture
def host() -> Host:
    return Host()


# -- a directory's ---------------------------------------------------------------------------------------------------------


def elsewhere(host: Host, *accounts: User | Group) -> Any:
    users = [account for account in accounts if isinstance(account, User)]
    groups = [account for account in accounts if isinstance(account, Group)]
    return plan_accounts(host.texts, users, groups, Ledger(), elsewhere=DIRECTORY)


@pytest.mark.parametrize("account", [User("ldap"), Group("staff")])
def test_a_directorys_account_is_left_to_the_directory(host: Host, account: User | Group) -> None:
    edit = elsewhere(host, account)

    assert edit.actions == ()
    assert "this host knows it from a directory, with number" in edit.problems[0].message
    assert "remove it from" in edit.problems[0].remedy


def test_a_directorys_user_may_be_in_a_group_and_its_group_may_have_users(host: Host) -> None:
    edit = elsewhere(host, Group("docker", members=("ldap",)), User("web", group="staff"))

    assert edit.problems == ()
    assert "docker:x:999:ldap\n" in edit.texts[GROUP]
    assert "web:x:998:6000::" in edit.texts[PASSWD]


def test_a_number_of_the_directorys_is_not_taken(host: Host) -> None:
    edit = elsewhere(host, User("web"))

    assert edit.users == {"web": 998}
    assert "uid 5000 belongs to ldap" in elsewhere(host, User("web", uid=5000)).problems[0].message


def test_the_directory_is_asked_for_names_and_for_the_numbers_that_would_be_taken(site: Site) -> None:
    site.directory_has({"ldap": 999, "second": 998, "third": 997})
    assert site.deploy(User("web")) == CONFIRMED
    assert "web:x:996:" in site.text("passwd")

    assert site.problems(User("ldap")) == ["this host knows it from a directory, with number 999, and not from its own files"]


def test_a_name_of_a_running_service_with_dynamic_users_is_nobodys(site: Site) -> None:
    site.directory_has({"web": DYNAMIC_IDS.start})

    assert site.deploy(User("web")) == CONFIRMED


def test_nobody_is_asked_where_the_files_are_all_there_is(site: Site) -> None:
    class Silent:
        def accounts(self, database: str, keys: object) -> None:
            raise AssertionError("asked")

    site.directory_has({})
    (site.world.root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files compat # ldap\n")
    machine = site.world.machine()
    texts = account_files.read_accounts(machine.disk)

    assert accounts_elsewhere(machine.disk, Silent(), texts, [User("web")], [], Ledger()) == Elsewhere()  # type: ignore[arg-type]


# -- renamed, or with a shell that is not there ----------------------------------------------------------------------------


def test_a_user_that_somebody_renamed_is_told_and_not_made_a_second_time(host: Host) -> None:
    host.declare(User("web"))
    host.texts = {path: text.replace("web:", "shop:") for path, text in host.texts.items()}

    edit = host.declare(User("web"))

    assert [problem.target for problem in edit.problems] == ["user web"]
    assert edit.problems[0].message.startswith("deployer made it with number 999, which belongs to 'shop' now")
    assert "usermod -l web shop" in edit.problems[0].remedy
    assert host.declare().problems == ()  # a renamed one is somebody's own from then on


@pytest.mark.parametrize("group", ["root", "wheel"])
def test_no_user_of_ours_has_a_superusers_group(group: str) -> None:
    host = Host()
    host.texts[GROUP] += "wheel:x:0:\n" if group == "wheel" else ""

    assert "has gid 0" in host.declare(User("web", group=group)).problems[0].message


def test_a_shell_that_the_host_lacks_is_refused_where_it_would_be_given(site: Site) -> None:
    (site.world.root / "bin").mkdir()
    (site.world.root / "bin/sh").touch()

    assert site.problems(User("bob", shell="/bin/zsh")) == ["its shell /bin/zsh is not on this host"]
    assert site.problems(User("bob", shell="/bin/sh")) == []
    assert site.problems(User("bob", shell="/nix/store/x-zsh/bin/zsh")) == []
    assert site.problems(User("alice")) == []


def test_account_files_that_are_links_are_refused(site: Site) -> None:
    passwd = site.world.root / "etc/passwd"
    passwd.rename(passwd.with_name("real"))
    passwd.symlink_to("real")

    assert "it is a link" in site.problems(User("web"))[0]


# -- at the same time ------------------------------------------------------------------------------------------------------

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
fcntl.lockf(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_somebody_keeps_is_told_with_its_holder_before_anything_has_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_files, "_LOCK_TIMEOUT", 0.2)
    lock, before = site.world.root / "etc/.pwd.lock", site.world.etc()
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(AccountsLocked, match=rf"python.* \(process {holder.pid}\) has been holding the lock"):
            site.deploy(User("web"))
        holder.communicate("")

    assert site.world.etc() == before
    assert site.deploy(User("web")) == CONFIRMED


def test_the_lock_file_stays_so_that_two_can_never_be_in_at_once(site: Site) -> None:
    site.deploy(User("web"))
    inode = (site.world.root / "etc/.pwd.lock").stat().st_ino

    site.deploy()

    assert (site.world.root / "etc/.pwd.lock").stat().st_ino == inode


def meddling(site: Site, times: int, file: str = "passwd") -> Machine:
    """A machine on which somebody adds a line to a file, without any lock, just before ours is put in place."""
    done: list[int] = []

    def before_effect(operation: str, path: str) -> None:
        if (operation, path) == ("rename", f"/etc/{file}") and len(done) < times:
            done.append(1)
            place = site.world.root / "etc" / file
            new = place.with_name("new")
            new.write_text(place.read_text() + f"hand{len(done)}:x:{1500 + len(done)}:100::/:/bin/sh\n")
            new.rename(place)

    return site.world.machine(before_effect)


@pytest.mark.parametrize("file", ["passwd", "group", "shadow"])
def test_a_line_that_is_added_without_a_lock_while_we_edit_is_not_lost(site: Site, file: str) -> None:
    lay_out(site.world.machine().disk)
    machine, notes = meddling(site, 3, file), list[Action]()
    before = {name: site.text(name) for name in ("passwd", "group", "shadow")}
    for path in ("transaction", "transaction/before"):
        (site.world.root / "var/lib/deployer" / path).mkdir(mode=0o700)
    (site.world.root / "var/lib/deployer/transaction/undo").touch()

    ledger = apply_accounts(machine, Ledger(), Manifest(users=(User("web"),)), note=notes.append)

    assert [line.split(":")[0] for line in site.text(file).splitlines()][-4:-1] == ["hand1", "hand2", "hand3"]
    assert all(site.text(name).count("\nweb:") == 1 for name in ("passwd", "group", "shadow"))
    assert ledger.users == {"web": 999}
    assert [f"{note.operation} {note.kind}" for note in notes] == ["add group", "add user"]

    for record in reversed(machine.undo.records()):
        account_files.undo_accounts(machine.disk, record)
    for name, text in before.items():
        assert [line for line in site.text(name).splitlines() if not line.startswith("hand")] == text.splitlines()
    assert site.text(file).count("hand") == 3


def test_somebody_who_never_stops_writing_is_told(site: Site) -> None:
    lay_out(site.world.machine().disk)
    for path in ("transaction", "transaction/before"):
        (site.world.root / "var/lib/deployer" / path).mkdir(mode=0o700)
    (site.world.root / "var/lib/deployer/transaction/undo").touch()

    with pytest.raises(AccountsChanged, match="/etc/passwd"):
        apply_accounts(meddling(site, 100), Ledger(), Manifest(users=(User("web"),)), note=lambda action: None)

    assert site.text("passwd").count("hand") == 5


def test_a_number_that_somebody_takes_after_the_plan_ends_in_a_rollback_and_not_in_half_an_account(site: Site) -> None:
    def take() -> None:
        place = site.world.root / "etc/passwd"
        place.write_text(place.read_text() + "theirs:x:4242:100::/:/bin/sh\n")

    state = site.deploy(User("web", uid=4242), before=take)

    assert state == ROLLED_BACK
    assert "web" not in site.text("passwd") + site.text("group")
    assert "theirs:x:4242" in site.text("passwd")


# -- subordinate ids -------------------------------------------------------------------------------------------------------


def files_with(host: Host, text: str) -> None:
    host.texts.update({SUBUID: text, SUBGID: text})


def test_a_user_gets_the_lowest_free_range_in_both_files_and_keeps_it(host: Host) -> None:
    files_with(host, "alice:100000:65536\nother:231072:65536\n")

    edit = host.declare(User("pod", subordinate_ids=65536), User("big", subordinate_ids=100_000))

    assert host.texts[SUBUID] == host.texts[SUBGID]
    assert host.texts[SUBUID].splitlines()[2:] == ["big:296608:100000", "pod:165536:65536"]
    assert [action.because for action in edit.actions if "subordinate" in action.because] == [
        "subordinate ids 296608 to 396607",
        "subordinate ids 165536 to 231071",
    ]
    assert host.ledger.subordinates == {"pod": "165536:65536", "big": "296608:100000"}
    assert host.declare(User("pod", subordinate_ids=65536), User("big", subordinate_ids=100_000)).actions == ()


def test_a_host_without_the_files_gets_them(site: Site) -> None:
    assert site.deploy(User("pod", subordinate_ids=65536)) == CONFIRMED
    assert site.text("subuid") == site.text("subgid") == "pod:100000:65536\n"
    assert os.stat(site.world.root / "etc/subuid").st_mode & 0o777 == 0o644
    (site.world.root / "etc/subgid").write_text("")

    drift = observe_now(site.world.machine(), ())

    assert [(item.kind, item.target, item.declared) for item in drift] == [("user", "pod", "subordinate ids 100000 to 165535")]


def test_a_locked_user_keeps_its_range_and_a_purged_one_gives_it_back(host: Host) -> None:
    files_with(host, "")
    pod = User("pod", subordinate_ids=65536)
    host.declare(pod)

    host.declare()
    assert host.texts[SUBUID] == "pod:100000:65536\n"
    host.declare(User("new", subordinate_ids=65536), pod)
    assert "new:165536:65536" in host.texts[SUBUID]
    host.declare(User("new"), dataclasses.replace(pod, purge=True))
    assert host.texts[SUBUID] == "pod:100000:65536\n"
    host.declare(User("new"))

    assert (host.texts[SUBUID], host.texts[SUBGID]) == ("", "")
    assert host.ledger.subordinates == {}


def test_a_range_that_was_lost_is_given_again(host: Host) -> None:
    files_with(host, "")
    host.declare(User("pod", subordinate_ids=10), User("zed", subordinate_ids=10))
    files_with(host, "")

    host.declare(User("zed", subordinate_ids=10))

    assert host.texts[SUBGID] == "zed:100010:10\n"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        (User("alice", subordinate_ids=1), "it has 65536 subordinate ids from 100000, and 1 are declared"),
        (User("alice", subordinate_ids=65536, subordinate_start=200000), "and 65536 from 200000 are declared"),
        (User("web", subordinate_ids=10, subordinate_start=165535), "165535:10 are not free: somebody has 100000:65536"),
        (User("web", subordinate_ids=10, subordinate_start=4294967290), "the last id is 4294967294"),
        (User("web", subordinate_ids=4294967294), "the last id is 4294967294"),
    ],
)
def test_a_range_that_would_change_or_meet_anothers_is_refused(host: Host, user: User, message: str) -> None:
    files_with(host, "alice:100000:65536\n")

    assert message in host.declare(user).problems[0].message


def test_a_range_that_was_given_by_hand_is_the_users_and_stays(host: Host) -> None:
    files_with(host, "alice:100000:65536\n")

    assert host.declare(User("alice", subordinate_ids=65536)).actions == ()
    assert host.declare().actions == ()
    assert host.texts[SUBUID] == "alice:100000:65536\n"


LINES = st.lists(
    st.sampled_from(["a:100000:10", "b:100010:65536", "1000:5:5", "# x", "broken", "a:1:2:3", ":::", ""]), max_size=6
)


@given(LINES, LINES, st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 70_000)), max_size=4))
def test_ranges_never_meet_and_giving_them_back_gives_the_same_lines(
    subuid: list[str], subgid: list[str], wishes: list[tuple[str, int]]
) -> None:
    texts = {SUBUID: "".join(f"{line}\n" for line in subuid), SUBGID: "".join(f"{line}\n" for line in subgid)}
    ids = SubordinateIds(texts)
    given_ranges: dict[str, Range] = {}
    for name, count in wishes:
        choice = ids.choose(User(name, subordinate_ids=count), given_ranges.get(name))
        if choice.given is not None:
            given_ranges[name] = choice.given
            ids.give(name, choice.given)

    ranges = list(given_ranges.values())
    assert not any(one.meets(other) for at, one in enumerate(ranges) for other in ranges[:at])
    after = dict(ids.texts())
    assert {path: without_edit(path, text, after[path], after[path]).splitlines() for path, text in texts.items()} == {
        path: text.splitlines() for path, text in texts.items()
    }
    for name, one in given_ranges.items():
        ids.take(name, one)
    assert ids.texts() == texts


def test_the_ledger_of_a_later_version_is_read_and_one_without_ranges_is_as_before() -> None:
    assert b"subordinates" not in Ledger(users={"web": 999}).to_bytes()
    document = {**json.loads(Ledger(subordinates={"pod": "1:2"}).to_bytes()), "of the future": 1}

    assert Ledger.from_bytes(json.dumps(document).encode()) == Ledger(subordinates={"pod": "1:2"})
