"""/etc of real hosts in all the states that an administrator may have brought it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.lab import LabHost
from tests.lab.fleet import Fleet, Run
from tests.lab.standing import Standing, shell, standing

OURS = {"text": "ours\n", "replace": True}


class Host:
    """A pristine host, and a controller of its own."""

    def __init__(self, machines: Any, host: LabHost, directory: Path) -> None:
        self.lab, self.lab_host = machines.lab, host
        self.fleet = Fleet(directory, self.lab, host)

    def run(self, command: str) -> str:
        return shell(self.lab, self.lab_host, command)

    def stands(self) -> Standing:
        return standing(self.lab, self.lab_host)

    def deploy(self, configuration: dict[str, Any], exit_code: int = 0) -> Run:
        self.fleet.configure(configuration)
        done = self.fleet.run("deploy", "--yes")
        assert done.exit_code == exit_code, done.text
        assert "Traceback" not in done.text
        return done

    def refusals(self, configuration: dict[str, Any]) -> str:
        """What the plan refuses, with where the configuration says it; and nothing has been copied."""
        self.fleet.configure(configuration)
        done = self.fleet.run("plan")
        assert done.exit_code == 1, done.text
        assert "Traceback" not in done.text
        assert self.lab_host.name in done.text
        return str(done.text)


@pytest.fixture
def host(machines: Any, fresh_host: LabHost, tmp_path: Path) -> Host:
    return Host(machines, fresh_host, tmp_path)


def test_what_seals_mounts_or_names_keep_from_being_changed_is_refused_in_the_plan(host: Host) -> None:
    before = host.stands()
    host.run(
        "mkdir /etc/{fixed,only-more,own,ro,mounted}; cd /etc/own; touch sealed log several mount; ln several other;"
        "chattr +i sealed ../fixed; chattr +a log ../only-more;"
        "mount --bind /etc/own/other /etc/own/mount;"
        "mount -t tmpfs -o ro,mode=755 none /etc/ro; mount -t tmpfs -o mode=755 none /etc/mounted"
    )
    names = ["own/sealed", "own/log", "own/several", "own/mount", "fixed/x", "only-more/x", "ro/deep/er/x", "mounted/x"]

    text = host.refusals({"etc": dict.fromkeys(names, OURS)})

    for place, reason, remedy in (
        ("/etc/own/sealed", "it is immutable: somebody ran `chattr +i`", "chattr -i /etc/own/sealed"),
        ("/etc/own/log", "it is append-only: somebody ran `chattr +a`", "chattr -a /etc/own/log"),
        ("/etc/own/several", "has 2 names (hard links)", "mv /etc/own/several.new /etc/own/several"),
        ("/etc/own/mount", "something is mounted there", "Unmount it"),
        ("/etc/fixed", "it is immutable", "chattr -i /etc/fixed"),
        ("/etc/only-more", "it is append-only", "chattr -a /etc/only-more"),
        ("/etc/ro", "it is on a read-only file system", "Remount it writable"),
    ):
        assert f"{place}: " in text, place
        assert reason in text, place
        assert remedy in text, place
    assert "/etc/mounted" not in text

    host.deploy({"etc": {"mounted/x": OURS, "mounted/real": {**OURS, "kind": "file"}}})
    assert host.run("cat /etc/mounted/x /etc/mounted/real") == "ours\nours"
    host.run("mount -o remount,ro /etc/mounted")
    assert "/etc/mounted: it is on a read-only file system" in host.refusals({})  # what is to go stands in the way as well
    host.run("mount -o remount,rw /etc/mounted")
    assert host.fleet.run("uninstall", "--yes").exit_code == 0
    assert host.run("ls -A /etc/mounted") == ""
    host.run(
        "umount /etc/own/mount /etc/ro /etc/mounted; cd /etc; chattr -i own/sealed fixed; chattr -a own/log only-more;"
        "rm -r fixed only-more own ro mounted"
    )
    assert host.stands() == before


def test_etc_on_a_file_system_of_its_own_is_changed_rolled_back_and_given_back(host: Host) -> None:
    host.run("cp -a /etc /root/etc && mount -t tmpfs -o mode=755 none /etc && cp -a /root/etc/. /etc/ && rm -r /root/etc")
    before = host.stands()
    entries: dict[str, Any] = {"motd": OURS, "own/real": {**OURS, "kind": "file", "mode": "0640"}, "own/d": {"kind": "directory"}}

    host.deploy({"etc": entries})
    assert host.run("stat -c %d /etc") != host.run("stat -c %d /var/lib/deployer")
    assert host.run("cat /etc/motd /etc/own/real; stat -c %a /etc/own/real") == "ours\nours\n640"
    red = {"checks": {"never": {"kind": "command", "command": ["/bin/false"]}}, "activation": {"check_deadline": 1}}
    host.deploy({"etc": {"own/real": {"text": "other\n", "kind": "file"}}, **red}, 1)
    assert host.run("cat /etc/motd /etc/own/real; stat -c %a /etc/own/real") == "ours\nours\n640"
    assert host.fleet.run("uninstall", "--yes").exit_code == 0

    assert host.stands() == before


RULE = "alice ALL=(ALL) NOPASSWD: /usr/bin/id\n"


def test_what_sudo_or_sshd_would_not_read_is_refused_after_the_copy_and_before_any_change(host: Host) -> None:
    host.run("useradd -m alice; echo 'AcceptEnv FROM_THE_HOST' >/etc/ssh/sshd_config.d/theirs.conf")
    before = host.stands()
    good = {"sudoers.d/alice": {"text": RULE}, "ssh/sshd_config.d/ours.conf": {"text": "AcceptEnv OURS\n"}}

    for name, text, program, words in (
        ("sudoers.d/broken", "alice ALL=(ALL NOPASSWD: /usr/bin/id\n", "visudo", "/etc/sudoers.d/broken:1"),
        ("sudoers", "@includedir /etc/sudoers.d\nnonsense\n", "visudo", "/etc/sudoers:2"),
        ("ssh/sshd_config.d/broken.conf", "Nonsense yes\n", "sshd", "Nonsense"),
        ("ssh/sshd_config", "Include sshd_config.d/*.conf\nPort none\n", "sshd", "Badly formatted port number"),
    ):
        done = host.deploy({"etc": {**good, name: {"text": text, "replace": True}}}, 1)
        assert f"/etc/{name}: {program} of this host refuses it: " in done.text, done.text
        assert words in done.text
        after = host.stands()
        assert (after.etc, after.contents, after.units) == (before.etc, before.contents, before.units)
        assert host.run("ls -d /var/lib/deployer/verify 2>&1") != "/var/lib/deployer/verify"

    plan = host.deploy({"etc": {**good, "sudoers": {"text": f"root ALL=(ALL) ALL\n{RULE}", "replace": True}}})
    assert "# a real file: sudo must work also where the store does not" in plan.text
    assert host.run("stat -c '%F %a %U %h' /etc/sudoers.d/alice /etc/sudoers") == "\n".join(["regular file 440 root 1"] * 2)
    assert host.run("stat -c '%F %a' /etc/ssh/sshd_config.d/ours.conf") == "regular file 644"
    assert host.run("runuser -u alice -- sudo -n id -u; sshd -T | grep -i acceptenv | sort") == (
        "0\nacceptenv FROM_THE_HOST\nacceptenv LANG\nacceptenv LC_*\nacceptenv OURS"
    )
    assert host.fleet.run("uninstall", "--yes").exit_code == 0
    assert host.stands() == before
