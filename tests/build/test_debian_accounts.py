"""Accounts that maintainer scripts would make, read out of them."""

import pytest

from deployer.build.debian_accounts import accounts_of_script, accounts_of_sysusers, accounts_of_tree
from deployer.build.debian_root import Deb
from tests.environments.conftest import deb


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("adduser --system --home /var/lib/redis --quiet --group redis || true", ["group redis", "user redis"]),
        (
            "adduser --quiet --system --home /var/lib/x --no-create-home \\\n  --gecos 'long name' \\\n  x >/dev/null",
            ["user x"],
        ),
        ("\taddgroup --system mysql >/dev/null", ["group mysql"]),
        ("if ! getent group _ssh >/dev/null; then /usr/sbin/addgroup --system --quiet _ssh; fi", ["group _ssh"]),
        ("groupadd -r -g 33 web && useradd -r -g web -d /srv -s /bin/false web", ["group web", "user web"]),
        ("USER=memcache\nadduser --system $quiet --ingroup mem $USER", ["user memcache"]),
        ("A='one'\nA=two\nadduser --system ${A}", []),
        ("adduser --system $1", []),
        ("adduser postgres ssl-cert", []),
        ("adduser --system postgres ssl-cert", []),
        ("adduser person", []),
        ("# adduser --system commented", []),
        ("echo 'no adduser --system", []),
        ("adduser --system Not/A/Name", []),
        ("adduser --system", []),
        ("adduser --system " + "x" * 5000, []),
    ],
)
def test_what_a_script_says_in_plain_words_is_found(script, found):
    assert sorted(f"{one.kind} {one.name}" for one in accounts_of_script(script, "x")) == found


def test_a_file_of_sysusers_names_users_and_groups():
    text = '# a comment\nu redis - "Redis" /var/lib/redis\ng input\nm redis input\nu! locked 77\nu\nr - 500-900\n'

    names = [f"{one.kind} {one.name}" for one in accounts_of_sysusers(text, "x.conf")]
    assert names == ["user redis", "group redis", "group input", "user locked", "group locked"]


def test_a_tree_has_those_of_all_its_packages_once(tmp_path):
    (tmp_path / "root/usr/lib/sysusers.d").mkdir(parents=True)
    (tmp_path / "root/usr/lib/sysusers.d/b.conf").write_text("g kvm\n")
    (tmp_path / "root/usr/lib/sysusers.d/secret.conf").symlink_to("/etc/group")
    (tmp_path / "a.deb").write_bytes(deb({"x": ""}, "adduser --system a\nadduser --system a\n"))
    (tmp_path / "plain.deb").write_bytes(deb({"x": ""}))

    found = accounts_of_tree(tmp_path / "root", [Deb("a", tmp_path / "a.deb"), Deb("plain", tmp_path / "plain.deb")])

    assert [(one.name, one.kind, one.said_by) for one in found] == [("a", "user", "a"), ("kvm", "group", "b.conf")]
