"""The lab: real Debian hosts on this machine, to try deployments and to test them.

Each host is Debian with its own systemd and sshd, booted by systemd-nspawn on an overlay of a cached base, in a network
namespace of its own. The hosts and the lab's controller namespace share a bridge with addresses of 192.0.2.0/24, and no packet
leaves the machine. Everything that a lab makes is noted in its record before it is made; `down` undoes the record and nothing
else, also after a run that was killed.

    lab = await up("mine", 3)
    with inside(lab):          # this thread now sees the hosts
        ...
    await down("mine")
"""

from deployer.lab.bases import FULL, MINIMAL_PYTHON, NO_PYTHON, RELEASES, VARIANTS, Base, ensure_base
from deployer.lab.errors import (
    BaseFailed,
    CgroupsUnusable,
    DebianArchiveUnknown,
    HostsNotRunning,
    LabBusy,
    LabNameRefused,
    LabNotClean,
    NoSuchLab,
    NoSuchLabHost,
    NotDebian,
    NotRoot,
    OutOfAddresses,
    OverlayMissing,
)
from deployer.lab.lab import Lab, LabHost, down, down_all, down_orphans, labs, load, up
from deployer.lab.machines import crash, cut, heal, is_running, reset, start
from deployer.lab.namespaces import enter, inside
from deployer.lab.needs import missing_needs

__all__ = [
    "FULL",
    "MINIMAL_PYTHON",
    "NO_PYTHON",
    "RELEASES",
    "VARIANTS",
    "Base",
    "BaseFailed",
    "CgroupsUnusable",
    "DebianArchiveUnknown",
    "HostsNotRunning",
    "Lab",
    "LabBusy",
    "LabHost",
    "LabNameRefused",
    "LabNotClean",
    "NoSuchLab",
    "NoSuchLabHost",
    "NotDebian",
    "NotRoot",
    "OutOfAddresses",
    "OverlayMissing",
    "crash",
    "cut",
    "down",
    "down_all",
    "down_orphans",
    "ensure_base",
    "enter",
    "heal",
    "inside",
    "is_running",
    "labs",
    "load",
    "missing_needs",
    "reset",
    "start",
    "up",
]
