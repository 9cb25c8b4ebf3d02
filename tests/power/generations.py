"""The generations that the host is moved between, as a user would write them: files, real files, units, users, packages."""

from __future__ import annotations

import random
from typing import Any, Final

from tests.lab.fleet import Fleet

UNITS: Final = ("web.service", "web-extra.service")
_TIMING: Final = {"unit_timeout": 200, "check_deadline": 200, "confirm_timeout": 200}
"""Seconds, for the slowest machine."""
_BLOB: Final = 400_000
"""Bytes."""


def write(fleet: Fleet, name: str) -> None:
    """Have `zero`, `one` or `two` be what the fleet's configuration declares."""
    blobs = {f"{name}-{number}": {"kind": "fetch", "file": f"{name}-{number}"} for number in range(3)}
    for blob in blobs:
        (fleet.directory / blob).write_bytes(random.Random(blob).randbytes(_BLOB))
    fleet.packages = blobs
    declared = {"zero": _zero, "one": _one, "two": _two}[name]()
    declared["etc"]["blobs"] = {"text": "".join(f"${{pkgs.{blob}}}\n" for blob in blobs)}
    fleet.configure({**declared, "activation": _TIMING, "generations": {"keep": 1}})


def _zero() -> dict[str, Any]:
    return {"etc": {"web.conf": {"text": "zero\n"}}}


def _one() -> dict[str, Any]:
    """Takes the motd over; a unit, links, a real file in a directory of its own, a rule, a user."""
    return {
        "etc": {
            "web.conf": {"text": "one\n"},
            "motd": {"text": "ours\n", "replace": True},
            "deep/er/real": {"text": "real one\n", "kind": "file", "mode": "0600"},
        },
        "systemd": {"services": {"web": _service("sleep 1001")}},
        "users": {"web": {"uid": 990, "group": "web"}},
        "groups": {"web": {"gid": 990}},
        "tmpfiles": {"rules": ["d /var/lib/web-made 0755 root root -"]},
    }


def _two() -> dict[str, Any]:
    """Drops motd and the rule, changes the unit and the real file, takes issue over, and adds a unit, links and a user."""
    return {
        "etc": {
            "web.conf": {"text": "two\n"},
            "issue": {"text": "ours too\n", "kind": "file", "mode": "0640", "group": "web", "replace": True},
            "deep/er/real": {"text": "real two\n", "kind": "file", "mode": "0640", "group": "web"},
            "new/link": {"target": "/dev/null"},
            "new/directory": {"kind": "directory", "mode": "0750"},
        },
        "systemd": {"services": {"web": _service("sleep 1002"), "web-extra": _service("sleep 1003")}},
        "users": {
            "web": {"uid": 990, "group": "web"},
            "worker": {"uid": 991, "group": "web", "home": "/home/worker", "create_home": True},
        },
        "groups": {"web": {"gid": 990}},
    }


def _service(command: str) -> dict[str, Any]:
    about = {"Type": "exec", "ExecStart": f"/bin/{command}"}
    return {"wanted_by": ["multi-user.target"], "check": True, "service": about}
