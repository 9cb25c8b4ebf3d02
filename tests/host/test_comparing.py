"""What differs between two generations."""

from __future__ import annotations

from deployer.formats.manifest import Check, EtcEntry, Group, Manifest, Unit, User
from deployer.host.comparing import compare

UNIT = "[Service]\nExecStart=/bin/a\n"
BEFORE = Manifest(
    etc=(
        EtcEntry("a", "link", "1"),
        EtcEntry("b", "file", "1", mode="0640"),
        EtcEntry("systemd/system/web.service", "link", "1"),
        EtcEntry("systemd/system/web.service.d/x.conf", "link", "1"),
        EtcEntry("systemd/system/multi-user.target.wants/web.service", "symlink", target="../web.service"),
    ),
    units=(Unit("old.service", UNIT), Unit("web.service", UNIT)),
    users=(User("alice"),),
    groups=(Group("staff"),),
    sysctl={"vm.swappiness": "10"},
    tmpfiles=("d /a",),
    checks=(Check("http", "http", url="http://x/"),),
)


def test_equal_generations_do_not_differ() -> None:
    assert compare(BEFORE, BEFORE) == ()


def test_what_comes_goes_and_changes_is_told_by_kind_and_units_files_with_their_units() -> None:
    after = Manifest(
        etc=(
            EtcEntry("b", "file", "2", mode="0600"),
            EtcEntry("c", "link", "1"),
            EtcEntry("systemd/system/web.service", "link", "2"),
            EtcEntry("systemd/system/multi-user.target.wants/web.service", "symlink", target="../web.service"),
        ),
        units=(Unit("web.service", UNIT.replace("/a", "/b")),),
        users=(User("alice", shell="/bin/sh", create_home=True), User("bob")),
        sysctl={"vm.swappiness": "20"},
        tmpfiles=("d /b",),
        checks=(Check("http", "http", url="http://y/"),),
    )

    told = [(action.kind, action.operation, action.target, action.because) for action in compare(BEFORE, after)]

    assert told == [
        ("etc", "remove", "/etc/a", ""),
        ("etc", "change", "/etc/b", "content, mode"),
        ("etc", "add", "/etc/c", ""),
        ("unit", "remove", "old.service", ""),
        ("unit", "change", "web.service", "[Service] ExecStart"),
        ("user", "change", "alice", "home, shell"),
        ("user", "add", "bob", ""),
        ("group", "remove", "staff", ""),
        ("sysctl", "change", "vm.swappiness", "10 -> 20"),
        ("tmpfiles", "remove", "d /a", ""),
        ("tmpfiles", "add", "d /b", ""),
        ("check", "change", "http", "url"),
    ]


def test_a_change_of_a_unit_that_means_nothing_to_systemd_is_told_as_one_of_its_text() -> None:
    after = Manifest(units=(Unit("old.service", UNIT), Unit("web.service", "# new\n" + UNIT)))
    before = Manifest(units=(Unit("old.service", UNIT), Unit("web.service", UNIT)))

    (action,) = compare(before, after)

    assert (action.target, action.because) == ("web.service", "text")
