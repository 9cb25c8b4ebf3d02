"""A host whose wall clock is wrong, and is set in the middle of a transaction: what is timed goes by another clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployer.formats.messages import CHECKING
from deployer.lab.bases import WITH_KERNEL
from tests.machines.managed import TIMING, Managed
from tests.machines.virtual_machine import VirtualMachine


def declared(word: str) -> dict[str, Any]:
    """A file, and a check that leaves time to set the clock."""
    late = {"kind": "command", "command": ["/bin/true"], "initial_delay": 10}
    return {"etc": {"app.conf": {"text": f"{word}\n"}}, "checks": {"late": late}, "activation": TIMING}


def test_a_wall_clock_that_is_wrong_or_jumps_decides_nothing(boot: Callable[..., VirtualMachine], tmp_path: Path) -> None:
    host = Managed.by(boot(WITH_KERNEL, ""), tmp_path)
    host.machine.run("date --set '1 hour ago'")

    ended = host.deploy(declared("an hour behind"))

    assert ended["event"] == "host_confirmed", ended
    for word, jump in (("ahead", "3 hours"), ("behind", "5 hours ago")):
        host.fleet.configure(declared(word))
        with host.fleet.start("deploy", "--yes") as running:
            running.until("host_phase_reached", state=CHECKING)
            host.machine.run(f"date --set '{jump}'")
            assert running.wait() == 0, running.seen[-5:]
        assert host.machine.run("cat /etc/app.conf; systemctl is-system-running") == f"{word}\nrunning"
