"""The dead-man's switch: a timer, a sentinel and a boot unit that undo the transaction if nobody confirms it.

The timer is transient and of a fixed name, so that a second one cannot be set; it goes on firing until it is disarmed. The
sentinel does without it. The boot unit is in `/etc` only as long as the transaction lasts. Timer and boot unit are there before
the journal names the transaction, so that a request that is cut off leaves nothing that only the next one would end.
"""

from __future__ import annotations

import contextlib
from typing import Final, Sequence

from deployer.errors import DeploymentError
from deployer.host import sentinel
from deployer.host.disk_entry import DIRECTORY
from deployer.host.ledger import Metadata
from deployer.host.machine import ACTIVATION, DEADMAN, RECOVER, SENTINEL, Machine
from deployer.host.paths import STATE_DIRECTORY
from deployer.host.transaction import Record

_UNITS: Final = "/etc/systemd/system"
WANTS: Final = _UNITS + "/sysinit.target.wants"
_MADE_WANTS: Final = STATE_DIRECTORY + "/made-sysinit.target.wants"
_TIMER: Final = DEADMAN + ".timer"
_AGAIN: Final = 20.0
BEGINNING: Final = 5.0
"""Seconds for what lies between setting the timer and the start of the activation's service."""
_LATER: Final = 15.0
"""Seconds by which the sentinel waits longer than the timer, so that a host whose timer works starts one recovery and not two."""
_STANDS: Final = 5.0
_POLL: Final = 0.05
_FILE: Final = Metadata(0o644, 0, 0)

_BOOT_UNIT: Final = f"""\
[Unit]
Description=Undo or finish a deployment that a reboot cut off
DefaultDependencies=no
RequiresMountsFor={STATE_DIRECTORY} /nix/store
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target systemd-sysctl.service systemd-tmpfiles-setup.service shutdown.target
Before=network-pre.target systemd-networkd.service systemd-networkd.socket systemd-resolved.service networking.service
Before=ifupdown-pre.service nftables.service netfilter-persistent.service firewalld.service ufw.service
Wants=network-pre.target
Conflicts=shutdown.target
ConditionPathExists={STATE_DIRECTORY}/journal
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=%s
TimeoutStartSec=300
Restart=on-failure
RestartSec=5
"""


class SwitchNotArmed(DeploymentError):
    """The dead-man's switch does not stand ready, so nothing was changed."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the dead-man's switch could not be armed: {self.reason}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "Look at `systemctl status deployer-deadman.timer deployer-sentinel.service` on the host."


def begin(machine: Machine, runtime: str, record: Record, seconds: float) -> None:
    """Set timer and boot unit to run `runtime recover`. Raises `SwitchNotArmed`.

    A transaction that changes nothing outside our own directory gets the timer alone.
    """
    machine.systemd.discard(_TIMER, SENTINEL)
    # The timer comes first: it takes the boot unit away where we are cut off in between.
    machine.systemd.start_timer(DEADMAN, [*_recover(machine, runtime), "--timer", record.transaction], seconds, _AGAIN)
    if not record.trivial:
        _install_boot_unit(machine, [*_recover(machine, runtime), "--boot"])


def arm(machine: Machine, runtime: str, record: Record, seconds: float) -> None:
    """Set the sentinel too, and what else does not stand, and read back that all do. Raises `SwitchNotArmed`."""
    if not machine.systemd.states([_TIMER])[_TIMER].is_active:
        begin(machine, runtime, record, seconds)
    if not record.trivial:
        machine.systemd.discard(SENTINEL)
        action = [*_recover(machine, runtime), "--sentinel", record.transaction]
        machine.systemd.start_service(SENTINEL, sentinel.command(seconds + _LATER, action), sentinel.PROPERTIES, wait=False)
    _read_back(machine, [_TIMER] if record.trivial else [_TIMER, SENTINEL])


def _recover(machine: Machine, runtime: str) -> Sequence[str]:
    return (*machine.interpreter, runtime, "recover")


def _read_back(machine: Machine, units: Sequence[str]) -> None:
    waited = 0.0
    while True:
        states = machine.systemd.states(units)
        missing = [name for name in units if states[name].active != "active"]
        if not missing:
            return
        if waited >= _STANDS:
            raise SwitchNotArmed(f"{missing[0]} is {states[missing[0]].active}")
        machine.clock.sleep(_POLL)
        waited += _POLL


def made_wants(machine: Machine) -> bool:
    """Whether arming made the directory that holds the boot unit's link."""
    return machine.disk.entry(_MADE_WANTS) is not None


def is_left_over(machine: Machine) -> bool:
    """Whether something of the boot unit is still in `/etc`, or in systemd's memory, or the timer still stands."""
    places = (f"{WANTS}/{RECOVER}", f"{_UNITS}/{RECOVER}", _MADE_WANTS)
    if any(machine.disk.entry(place) is not None for place in places):
        return True
    states = machine.systemd.states([RECOVER, _TIMER])
    return states[RECOVER].load == "loaded" or states[_TIMER].is_active


def stand_by(machine: Machine, runtime: str) -> None:
    """Leave the boot unit alone, run by `runtime`: the next boot has something to do."""
    _discard(machine)
    _install_boot_unit(machine, [*machine.interpreter, runtime, "recover", "--boot"])


def disarm(machine: Machine) -> None:
    """Take all away: the boot unit last, since it is what is left if we are cut off here. As often as it takes."""
    _discard(machine)
    disk = machine.disk
    disk.remove(f"{WANTS}/{RECOVER}")
    disk.remove(f"{_UNITS}/{RECOVER}")
    if disk.entry(_MADE_WANTS) is not None:
        disk.remove_directory(WANTS)
        disk.remove(_MADE_WANTS)
    if _is_loaded(machine):
        machine.systemd.daemon_reload(patient=True)


def _is_loaded(machine: Machine) -> bool:
    return machine.systemd.states([RECOVER])[RECOVER].load == "loaded"


def _discard(machine: Machine) -> None:
    machine.systemd.discard(*(name for name in (_TIMER, SENTINEL) if name != machine.within))
    machine.systemd.forget_failures([ACTIVATION])


def _install_boot_unit(machine: Machine, command: Sequence[str]) -> None:
    disk = machine.disk
    if disk.entry(WANTS) is None:
        disk.write(_MADE_WANTS, b"", Metadata(0o600, 0, 0))
        for path in (_UNITS.rpartition("/")[0], _UNITS, WANTS):
            found = disk.entry(path)
            if found is None:
                disk.make_directory(path, Metadata(0o755, 0, 0))
            elif found.kind != DIRECTORY:
                raise SwitchNotArmed(f"{path} is not a directory")
    content = (_BOOT_UNIT % " ".join(command)).encode()
    with contextlib.suppress(FileNotFoundError):
        if disk.read(f"{_UNITS}/{RECOVER}") == content and disk.entry(f"{WANTS}/{RECOVER}") is not None:
            return
    disk.write(f"{_UNITS}/{RECOVER}", content, _FILE)
    disk.link(f"{WANTS}/{RECOVER}", f"../{RECOVER}")
