"""The dead-man's switch: a timer and a boot unit that undo the transaction if nobody confirms it.

The timer is transient and of a fixed name, so that a second one cannot be set; it goes on firing until it is disarmed. The
boot unit is in `/etc` only as long as the transaction lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Sequence

from deployer.errors import DeploymentError
from deployer.host.disk import DIRECTORY
from deployer.host.ledger import Metadata
from deployer.host.machine import ACTIVATION, DEADMAN, RECOVER, Machine
from deployer.host.paths import STATE_DIRECTORY, TRANSACTION

_UNITS: Final = "/etc/systemd/system"
WANTS: Final = _UNITS + "/sysinit.target.wants"
_MADE_WANTS: Final = TRANSACTION + "/made-sysinit.target.wants"
_AGAIN: Final = 20.0
_FILE: Final = Metadata(0o644, 0, 0)

_BOOT_UNIT: Final = f"""\
[Unit]
Description=Undo or finish a deployment that a reboot cut off
DefaultDependencies=no
RequiresMountsFor={STATE_DIRECTORY} /nix/store
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target systemd-sysctl.service systemd-tmpfiles-setup.service shutdown.target
Conflicts=shutdown.target
ConditionPathExists={STATE_DIRECTORY}/journal

[Service]
Type=oneshot
ExecStart=%s
TimeoutStartSec=300
"""


@dataclass(eq=False)
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
        return "Look at `systemctl status deployer-deadman.timer` on the host."


def arm(machine: Machine, runtime: str, seconds: float, *, boot_unit: bool) -> None:
    """Set timer and boot unit to run `runtime recover`, and read back that they stand. Raises `SwitchNotArmed`."""
    command = [*machine.interpreter, runtime, "recover"]
    if boot_unit:
        _install_boot_unit(machine, [*command, "--boot"])
    machine.systemd.discard(DEADMAN + ".timer")
    machine.systemd.start_timer(DEADMAN, [*command, "--timer"], seconds, _AGAIN)
    state = machine.systemd.states([DEADMAN + ".timer"]).get(DEADMAN + ".timer")
    if state is None or state.active != "active":
        raise SwitchNotArmed(f"its timer is {state.active if state else 'missing'}")


def made_wants(machine: Machine) -> bool:
    """Whether arming made the directory that holds the boot unit's link."""
    return machine.disk.entry(_MADE_WANTS) is not None


def is_left_over(machine: Machine) -> bool:
    """Whether something of the boot unit is still in `/etc`."""
    places = (f"{WANTS}/{RECOVER}", f"{_UNITS}/{RECOVER}", _MADE_WANTS)
    return any(machine.disk.entry(place) is not None for place in places)


def disarm(machine: Machine) -> None:
    """Take both away: the boot unit last, since it is what is left if we are cut off here. As often as it takes."""
    machine.systemd.discard(DEADMAN + ".timer")
    machine.systemd.forget_failures([ACTIVATION])
    disk = machine.disk
    disk.remove(f"{WANTS}/{RECOVER}")
    disk.remove(f"{_UNITS}/{RECOVER}")
    if disk.entry(_MADE_WANTS) is not None:
        disk.remove_directory(WANTS)
        disk.remove(_MADE_WANTS)
    if machine.systemd.states([RECOVER])[RECOVER].load == "loaded":
        machine.systemd.daemon_reload()


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
    disk.write(f"{_UNITS}/{RECOVER}", (_BOOT_UNIT % " ".join(command)).encode(), _FILE)
    disk.link(f"{WANTS}/{RECOVER}", f"../{RECOVER}")
