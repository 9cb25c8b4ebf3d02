"""Accounts: what is declared, what is ours, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.manifest import Group, User
from deployer.host.account_texts import GROUP, GSHADOW, PASSWD, SHADOW
from deployer.host.accounts import AccountEdit, plan_accounts, purged
from deployer.host.ledger import Ledger

TEXTS = {
    PASSWD: "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
    "alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash\n",
    SHADOW: "root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\nalice:$6$x:19000:0:99999:7:::\n",
    GROUP: "root:x:0:\nsudo:x:27:alice\nwww-data:x:33:\nalice:x:1000:\n",
    GSHADOW: "root:*::\nsudo:*::alice\nwww-data:*::\nalice:!::\n",
}


class Host:
    """Account files, and the ledger that goes with them."""

    def __init__(self, texts: Mapping[str, str] = TEXTS) -> None:
        self.texts, self.ledger = dict(texts), Ledger()
        self.users: Sequence[User] = ()

    def declare(self, *accounts: User | Group, restore: bool = False) -> AccountEdit:
        users = [account for account in accounts if isinstance(account, User)]
        groups = [account for account in accounts if isinstance(account, Group)]
        edit = plan_accounts(self.texts, users, groups, self.ledger, purge=purged(self.users), restore=restore)
        if not edit.problems:
            self.texts = dict(edit.texts)
            self.ledger = edit.told_in(self.ledger)
            self.users = users
        return edit

    def line(self, path: str, name: str) -> str:
        return next((line for line in self.texts[path].splitlines() if line.startswith(f"{name}:")), "")


def said(edit: AccountEdit) -> list[str]:
    return [f"{action.kind} {action.operation} {action.target}" for action in edit.actions]


@pytest.fixture
def host() -> Host:
    return Host()


def test_a_service_gets_the_highest_free_number_and_a_group_of_its_own(host: Host) -> None:
    edit = host.declare(User("web", description="The web"))

    assert said(edit) == ["group add web", "user add web"]
    assert host.line(PASSWD, "web") == "web:x:999:999:The web:/nonexistent:/usr/sbin/nologin"
    assert host.line(SHADOW, "web") == "web:!:::::::"
    assert host.line(GROUP, "web") == "web:x:999:"
    assert host.line(GSHADOW, "web") == "web:!::"
    assert (host.ledger.users, host.ledger.groups) == ({"web": 999}, {"web": 999})


def test_a_person_gets_the_number_after_the_last_one(host: Host) -> None:
    host.declare(User("bob", system=False, home="/home/bob", shell="/bin/bash"))

    assert host.line(PASSWD, "bob") == "bob:x:1001:1001::/home/bob:/bin/bash"
    assert host.line(SHADOW, "bob") == "bob:*:::::::"


def test_declaring_the_same_again_changes_nothing(host: Host) -> None:
    accounts: list[User | Group] = [User("web", groups=("sudo",)), Group("deploy", members=("alice",)), User("bob", system=False)]
    host.declare(*accounts)
    texts, ledger = host.texts, host.ledger

    edit = host.declare(*accounts)

    assert (edit.actions, edit.problems) == ((), ())
    assert (host.texts, host.ledger) == (texts, ledger)


def test_declared_numbers_are_used_and_not_given_to_others(host: Host) -> None:
    host.declare(User("web", uid=999, group="service"), Group("service", gid=998), User("api"), User("zoo"))

    assert host.line(PASSWD, "web").startswith("web:x:999:998:")
    assert host.ledger.users == {"web": 999, "api": 997, "zoo": 996}


def test_a_group_and_its_user_have_one_number(host: Host) -> None:
    host.declare(Group("web"), User("web"))

    assert host.ledger.users == host.ledger.groups == {"web": 999}


def test_what_is_no_longer_declared_is_locked_and_gets_its_number_back(host: Host) -> None:
    host.declare(User("web", shell="/bin/sh"), User("api"))
    before = dict(host.texts)

    locked = host.declare(User("api"))
    assert said(locked) == ["user lock web"]
    assert host.line(PASSWD, "web").endswith(":/usr/sbin/nologin")
    assert host.line(SHADOW, "web") == "web:!::::::1:"
    assert said(host.declare(User("api"))) == []

    assert said(host.declare(User("api"), User("web", shell="/bin/sh"))) == ["user unlock web"]
    assert host.texts == before


def test_a_password_survives_locking(host: Host) -> None:
    host.declare(User("bob", system=False))
    host.texts[SHADOW] = host.texts[SHADOW].replace("bob:*:", "bob:$6$hash:")

    host.declare()
    assert "bob:!$6$hash:" in host.texts[SHADOW]
    host.declare(User("bob", system=False))

    assert "bob:$6$hash:" in host.texts[SHADOW]


def test_a_purged_account_is_removed(host: Host) -> None:
    host.declare(User("web", purge=True, groups=("sudo",)))

    edit = host.declare()

    assert said(edit) == ["user remove web", "group remove web"]
    assert host.texts == TEXTS
    assert host.ledger == Ledger()


def test_restoring_removes_all_that_is_ours_and_only_that(host: Host) -> None:
    host.declare(User("web", groups=("sudo",)), User("bob", system=False, group="deploy"), Group("deploy", members=("alice",)))

    edit = host.declare(restore=True)

    assert host.texts == TEXTS
    assert host.ledger == Ledger()
    assert "user remove web" in said(edit)


def test_an_account_that_was_there_is_adopted_where_it_agrees(host: Host) -> None:
    edit = host.declare(User("alice", groups=("www-data",)), User("www-data", uid=33, home="/var/www"), Group("sudo", gid=27))

    assert said(edit) == ["group change www-data"]
    assert host.line(GROUP, "www-data") == "www-data:x:33:alice"
    assert host.line(GSHADOW, "www-data") == "www-data:*::alice"

    assert said(host.declare()) == ["group change www-data"]
    assert host.texts == TEXTS


@pytest.mark.parametrize(
    ("account", "message"),
    [
        (User("alice", uid=1234), "has uid 1000"),
        (User("alice", home="/srv", shell="/bin/zsh"), "has home /home/alice and shell /bin/bash"),
        (User("alice", group="sudo"), "has gid 1000"),
        (Group("sudo", gid=99), "with gid 27"),
        (User("web", uid=33), "uid 33 belongs to www-data"),
        (Group("web", gid=33), "gid 33 belongs to www-data"),
        (User("web", group="nobody-knows"), "no group 'nobody-knows'"),
        (User("web", groups=("nobody-knows",)), "no group 'nobody-knows' for it to be in"),
        (Group("web", members=("nobody",)), "no user 'nobody' to be in it"),
        (User("root"), "superuser"),
        (User("toor", uid=0), "superuser"),
        (Group("root"), "superuser"),
        (Group("wheel", gid=0), "superuser"),
        (User("web", groups=("root",)), "the group 'root' has gid 0"),
        (User("We:b"), "no name for an account"),
        (User("web", shell="/bin/sh\nroot2:x:0:0::/:/bin/sh"), "control character"),
        (User("web", description="a:b"), "control character"),
    ],
)
def test_what_would_touch_others_is_refused(host: Host, account: User | Group, message: str) -> None:
    edit = host.declare(account)

    assert len(edit.problems) == 1
    assert message in edit.problems[0].message
    assert edit.problems[0].target == f"{type(account).__name__.lower()} {account.name}"
    assert edit.problems[0].remedy
    if not (account.groups if isinstance(account, User) else account.members):
        assert edit.actions == ()


def test_a_superuser_by_another_name_is_not_adopted() -> None:
    host = Host({**TEXTS, PASSWD: TEXTS[PASSWD] + "toor:x:0:0::/root:/bin/sh\n"})

    assert "uid is 0" in host.declare(User("toor")).problems[0].message


def test_the_number_of_an_account_of_ours_does_not_change(host: Host) -> None:
    host.declare(User("web"))

    assert "uid is 999" in host.declare(User("web", uid=500)).problems[0].message


def test_attributes_of_an_account_of_ours_follow_the_declaration(host: Host) -> None:
    host.declare(User("web"))

    edit = host.declare(User("web", group="www-data", home="/srv/web", shell="/bin/sh", description="New"))

    assert [action.because for action in edit.actions] == ["group, description, home, shell"]
    assert host.line(PASSWD, "web") == "web:x:999:33:New:/srv/web:/bin/sh"


def test_memberships_given_by_hand_stay(host: Host) -> None:
    host.declare(User("web", groups=("sudo",)))
    host.texts[GROUP] = host.texts[GROUP].replace("www-data:x:33:", "www-data:x:33:web")

    host.declare(User("web"))

    assert host.line(GROUP, "sudo") == "sudo:x:27:alice"
    assert host.line(GROUP, "www-data") == "www-data:x:33:web"


def test_a_membership_that_was_there_is_not_ours_to_take(host: Host) -> None:
    assert said(host.declare(Group("sudo", members=("alice",)))) == []
    assert host.ledger.memberships == ()

    host.declare()

    assert host.line(GROUP, "sudo") == "sudo:x:27:alice"


def test_an_account_that_somebody_removed_is_made_again_with_its_number(host: Host) -> None:
    host.declare(User("a"), User("b"))
    number = host.ledger.users["b"]
    host.texts = dict(TEXTS)

    host.declare(User("b"))

    assert host.ledger.users["b"] == number


def test_half_an_account_is_made_whole_and_half_a_removal_is_finished(host: Host) -> None:
    host.texts[SHADOW] += "web:$6$of-a-former-user:19000::::::\n"
    host.declare(User("web"))
    assert host.line(SHADOW, "web") == "web:!:::::::"

    for path in (PASSWD, GROUP):
        host.texts[path] = TEXTS[path]
    host.declare(restore=True)

    assert host.texts == TEXTS
    assert host.ledger == Ledger()


def test_an_account_that_somebody_made_anew_is_not_ours(host: Host) -> None:
    host.declare(User("web"))
    host.texts[PASSWD] = host.texts[PASSWD].replace("web:x:999:", "web:x:1005:")

    assert said(host.declare()) == []
    assert "1005" in host.line(PASSWD, "web")


def test_a_host_without_shadow_files_keeps_passwords_where_they_are() -> None:
    host = Host({PASSWD: "root:*:0:0::/root:/bin/sh\n", GROUP: "root:*:0:\n"})

    host.declare(User("web"))
    assert host.line(PASSWD, "web").startswith("web:*:999:")
    assert said(host.declare()) == ["user lock web"]
    assert host.line(PASSWD, "web").startswith("web:!*:999:")
    assert said(host.declare(User("web"))) == ["user unlock web"]
    assert sorted(host.texts) == [GROUP, PASSWD]


def test_lines_of_nis_stay_last() -> None:
    host = Host({path: text + "+@team::::::\n+::::::\n" for path, text in TEXTS.items()})

    host.declare(User("web"))

    for path in TEXTS:
        lines = host.texts[path].splitlines()
        assert [line[0] for line in lines[-2:]] == ["+", "+"]
        assert lines[-3].startswith("web:")


def test_numbers_run_out(host: Host) -> None:
    host.texts[PASSWD] += "".join(f"u{number}:x:{number}:33::/:/bin/false\n" for number in range(100, 1000))

    assert "no uid is free" in host.declare(User("web")).problems[0].message


NAMES = ("web", "api", "bob", "deploy")
USERS = st.builds(
    User,
    st.sampled_from(NAMES),
    uid=st.sampled_from([-1, -1, 500]),
    group=st.sampled_from(["", "deploy", "www-data"]),
    groups=st.lists(st.sampled_from(["sudo", "deploy", "www-data"]), unique=True, max_size=2).map(tuple),
    shell=st.sampled_from(["/usr/sbin/nologin", "/bin/sh"]),
    system=st.booleans(),
)
ACCOUNTS = st.lists(
    st.one_of(USERS, st.builds(Group, st.just("deploy"), members=st.sampled_from([(), ("alice",), ("web",)]))),
    max_size=4,
    unique_by=lambda account: (type(account), account.name),
)
TAILS = st.sampled_from(["", "+::::::\n", "# note\n", "broken line\n", "last:x:7:7::/:/bin/sh", "\n"])


@given(st.lists(ACCOUNTS, max_size=5), TAILS)
def test_whatever_was_declared_removing_it_gives_the_same_bytes(generations: list[list[User | Group]], tail: str) -> None:
    host = Host({path: text + tail for path, text in TEXTS.items()})
    before = dict(host.texts)
    numbers: dict[str, int] = {}

    for accounts in generations:
        edit = host.declare(*accounts)
        if edit.problems:
            continue
        again = host.declare(*accounts)
        assert (again.actions, again.texts) == ((), edit.texts)
        for name, number in edit.users.items():
            assert numbers.setdefault(name, number) == number
        for path, text in before.items():
            if path in (PASSWD, SHADOW):
                assert [line for line in host.texts[path].splitlines() if line in text.splitlines()] == text.splitlines()

    assert not host.declare(restore=True).problems
    assert host.texts == before
    assert host.ledger == Ledger()


@given(st.dictionaries(st.sampled_from(list(TEXTS)), st.text("ab:x019+-,\n", max_size=60)), ACCOUNTS)
def test_any_text_is_edited_without_harm(texts: dict[str, str], accounts: list[User | Group]) -> None:
    host = Host(texts)
    host.declare(*accounts)

    for path, text in texts.items():
        assert [line for line in text.split("\n") if ":" not in line] == [
            line for line in host.texts[path].split("\n") if ":" not in line
        ]
