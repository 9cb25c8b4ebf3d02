"""A host whose kernel enforces SELinux' policy: all of ours has that policy's labels, services run, and all of it goes again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from deployer.lab.bases import WITH_SELINUX
from tests.machines.managed import TIMING, Managed
from tests.machines.virtual_machine import VirtualMachine

PLACES = "/etc /home /nix /root /run /var/lib"
PROGRAM = "#!/bin/sh\nwhile :; do cat /etc/app.conf >/run/app.said; sleep 1; done\n"
OF_THE_DISTRIBUTION = re.compile(r'comm="(systemd-tmpfile|load_policy)"')
"""Who is denied something by Debian's policy also where nothing of ours is."""


class Host(Managed):
    """One whose files have labels."""

    def wrong_labels(self) -> list[str]:
        """What has another label than the policy has for it."""
        said = self.machine.run(f"restorecon -n -R -v {PLACES} 2>/dev/null || true")
        return [line for line in said.splitlines() if line.startswith("Would relabel")]

    def denied(self) -> list[str]:
        """What the kernel has denied since it booted."""
        lines = self.machine.run(
            "journalctl --boot --quiet --output=cat --grep='avc: +denied.*permissive=0' || true"
        ).splitlines()
        return [line for line in lines if not OF_THE_DISTRIBUTION.search(line)]

    def label(self, path: str) -> str:
        """The type of a path's label, of a link its own."""
        return self.machine.run(f"stat --format=%C {path}").split(":")[2]

    def domain(self, unit: str) -> str:
        """What the kernel lets the unit's process do: the type of its label."""
        return self.machine.run(f"cat /proc/$(systemctl show --property=MainPID --value {unit})/attr/current").split(":")[2]


def declared(word: str, **more: Any) -> dict[str, Any]:
    """Files that many domains read, links, real files, accounts, and units that run the host's programs and the store's."""
    service = {"wanted_by": ["multi-user.target"], "check": True}
    return {
        "etc": {
            "app.conf": {"text": f"{word}\n"},
            "motd": {"text": f"{word}\n", "replace": True},
            "hosts.allow": {"text": "# nobody\n", "replace": True},
            "special": {"text": f"{word}\n", "replace": True},
            "deep/er/real": {"text": f"{word}\n", "kind": "file", "mode": "0600"},
            "sudoers.d/app": {"text": "app ALL=(root) NOPASSWD: /bin/true\n"},
            "new/link": {"target": "/dev/null"},
            "new/directory": {"kind": "directory", "mode": "0750"},
        },
        "systemd": {
            "services": {
                "plain": {**service, "service": {"Type": "exec", "ExecStart": "/bin/sleep infinity"}},
                "app": {**service, "service": {"Type": "exec", "ExecStart": "${pkgs.program}", "Environment": f"WORD={word}"}},
            }
        },
        "users": {
            "app": {"uid": 990, "group": "app"},
            "worker": {"uid": 991, "group": "app", "home": "/home/worker", "create_home": True},
        },
        "groups": {"app": {"gid": 990}},
        "tmpfiles": {"rules": ["d /var/lib/app-made 0755 root root -"]},
        "sysctl": {"vm.swappiness": "10"},
        **more,
    }


@pytest.fixture(scope="module")
def host(boot: Callable[..., VirtualMachine], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Enforcing since it booted. A link and a file of its own have labels that nobody would guess from where they are."""
    directory = tmp_path_factory.mktemp("controller")
    machine = boot(WITH_SELINUX, "security=selinux selinux=1 enforcing=1")
    assert machine.run("getenforce; systemctl is-system-running").split() == ["Enforcing", "running"]
    machine.run("ln -s /etc/hostname /etc/special && chcon -h -t locale_t /etc/special")
    machine.run("echo '# all' >/etc/hosts.allow && chcon -t usr_t /etc/hosts.allow")
    (directory / "program").write_text(PROGRAM)
    host = Host.by(machine, directory)
    host.fleet.packages = {"program": {"kind": "fetch", "file": "program", "executable": True}}
    return host


def test_what_is_deployed_has_the_policys_labels_and_its_services_run(host: Host) -> None:
    ended = host.deploy(declared("one"))

    assert ended["event"] == "host_confirmed", ended
    assert host.wrong_labels() == []
    assert host.denied() == []
    assert host.domain("app.service") == host.domain("plain.service")
    assert host.machine.run("cat /run/app.said") == "one"


def test_what_changes_has_them_too_and_a_rollback_brings_them_back(host: Host) -> None:
    checks = {"no": {"kind": "command", "command": ["/bin/false"]}}
    ended = host.deploy(declared("two", checks=checks, activation={**TIMING, "check_deadline": 8}))

    assert ended["event"] == "host_rolled_back", ended
    assert host.wrong_labels() == []
    assert host.denied() == []

    ended = host.deploy(declared("three"))

    assert ended["event"] == "host_confirmed", ended
    assert host.wrong_labels() == []
    assert host.denied() == []


def test_what_is_put_back_has_the_label_that_it_had_and_nothing_of_ours_stays(host: Host) -> None:
    running = host.do("uninstall", "--yes")

    assert host.machine.run("ls -d /nix /var/lib/deployer 2>/dev/null; semodule -l | grep deployer; true") == ""
    assert (host.label("/etc/special"), host.label("/etc/hosts.allow")) == ("locale_t", "usr_t"), running.seen[-5:]
    assert host.machine.run("readlink /etc/special; cat /etc/hosts.allow") == "/etc/hostname\n# all"
    assert {line.split()[2] for line in host.wrong_labels()} == {"/etc/special", "/etc/hosts.allow"}
    assert host.denied() == []
