"""What the transaction needs of the host that it runs on, in one bundle, with an interface for each part that tests replace."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Collection, Final, Mapping, Optional, Sequence, Tuple

from deployer.host.clock import Clock
from deployer.host.disk import Disk
from deployer.host.events import EventLog
from deployer.host.journal import Journal
from deployer.host.profile import Profile
from deployer.host.undo import UndoLog

if TYPE_CHECKING:
    from deployer.formats.manifest import Manifest
    from deployer.host.labels import Labels

ACTIVATION: Final = "deployer-activation.service"
DEADMAN: Final = "deployer-deadman"
SENTINEL: Final = "deployer-sentinel.service"
RECOVER: Final = "deployer-recover.service"
COLLECT: Final = "deployer-collect.service"


@dataclass(frozen=True)
class UnitStatus:
    """How systemd sees a unit."""

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    shipped: bool = False
    """Whether the distribution brings a file for it, besides any of ours."""
    bound: Tuple[str, ...] = ()
    """The units that systemd stops along with it."""
    fragment: str = ""
    """The unit file that it was loaded from; as far as is known."""
    run: str = ""
    """What names this run of the unit among all of its runs; empty: not known."""

    @property
    def is_active(self) -> bool:
        """Whether it runs, or is about to."""
        return self.active in ("active", "activating", "reloading")

    @property
    def is_failed(self) -> bool:
        """Whether it ended badly, or keeps doing so."""
        return self.active == "failed" or self.sub == "auto-restart"

    @property
    def is_crashing(self) -> bool:
        """The same, save for one that ended well and is started again each time."""
        return self.is_failed

    @property
    def is_waiting(self) -> bool:
        """Whether it does not run because its conditions did not hold; as far as is known."""
        return False

    @property
    def is_once(self) -> bool:
        """Whether it is done, and no longer active, once its work has ended; as far as is known."""
        return False

    @property
    def is_changing(self) -> bool:
        """Whether systemd starts, stops or reloads it right now, or is to; as far as is known."""
        return self.active in ("activating", "deactivating", "reloading")


class SystemdPort:
    """What we ask of PID 1. `deployer.host.systemd` answers with the real one."""

    def daemon_reload(self, *, patient: bool = False) -> None:
        """Read all unit files again. Raises where systemd does not answer in time; `patient` is who has no other way left."""
        raise NotImplementedError

    def states(self, names: Collection[str]) -> Mapping[str, UnitStatus]:
        """Of each, and of the running instances of each that is a template."""
        raise NotImplementedError

    def user_managers(self) -> Mapping[str, SystemdPort]:
        """By account, the systemd of each user for whom one runs."""
        return {}

    def change(self, verb: str, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """`stop`, `start`, `restart` or `reload` units, together; what failed, with the reason."""
        raise NotImplementedError

    def queue(self, verb: str, names: Sequence[str]) -> None:
        """The same without waiting, for the boot."""
        raise NotImplementedError

    def renew(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop all of them, and then start all of them, with nothing between; what failed, with the reason."""
        return {**self.change("stop", names, timeout), **self.change("start", names, timeout)}

    def stop_briefly(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Stop units that `start_again` follows for: nothing is asked that can wait. What failed, with the reason."""
        return self.change("stop", names, timeout)

    def start_again(self, names: Sequence[str], timeout: float) -> Mapping[str, str]:
        """Start what was just stopped, and anew what somebody started since; what failed, with the reason."""
        return self.change("start", names, timeout)

    def forget_failures(self, names: Sequence[str]) -> None:
        """Clear the failed state of units that are gone."""
        raise NotImplementedError

    def start_service(self, name: str, command: Sequence[str], properties: Mapping[str, str], *, wait: bool = True) -> None:
        """Start a transient service, or ask for its start and do not `wait`; fails where one of that name runs."""
        raise NotImplementedError

    def start_timer(self, name: str, command: Sequence[str], seconds: float, again: float) -> None:
        """Start a transient timer that runs `command` after `seconds`, and again `again` seconds after that ended."""
        raise NotImplementedError

    def request_reboot(self) -> None:
        """Begin to restart the host, and do not wait."""
        raise NotImplementedError

    def kill(self, name: str) -> None:
        """Kill all processes of a service, and wait until it is gone."""
        raise NotImplementedError

    def discard(self, *names: str) -> None:
        """Stop transient units, where there are any."""
        raise NotImplementedError

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        """The last lines of a unit's journal."""
        raise NotImplementedError

    def journal_cursor(self) -> str:
        """Where the journal ends now; empty where it cannot be read."""
        raise NotImplementedError

    def journal_lines(self, *, after: str, unit: str = "", timeout: float) -> Tuple[Sequence[str], str]:
        """The messages after a cursor, and the cursor of the last."""
        raise NotImplementedError


class StorePort:
    """What we ask of the store."""

    def is_valid(self, path: str) -> bool:
        """Whether a path is registered."""
        raise NotImplementedError

    def manifest(self, system: str) -> Manifest:
        """Of a system; an empty one for the host before us. Raises `SystemLost`."""
        raise NotImplementedError

    def runtime(self, system: str) -> str:
        """What a system brings for Python to run; empty for the host before us."""
        raise NotImplementedError

    def interpreter(self) -> str:
        """The Python that was brought to this host; empty where it has its own."""
        raise NotImplementedError

    def adopt(self, tree: str, path: str, nar_hash: str, nar_size: int) -> None:
        """Keep a Python in the store, copied from `tree` where it is not there yet, and have it run all of ours."""
        raise NotImplementedError

    def hold(self, roots: Mapping[str, str]) -> None:
        """Make exactly these paths, by name, the roots that are ours."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove all that is ours below `/nix`, and `/nix` where nothing else is left."""
        raise NotImplementedError


class SystemPort:
    """What we ask of the kernel and of small programs."""

    def sysctl(self, key: str) -> Optional[str]:
        """The value of a key; None where the kernel has no such key."""
        raise NotImplementedError

    def architecture(self) -> str:
        """What programs it runs: `x86_64`, as uname(2) says."""
        raise NotImplementedError

    def may_set_sysctl(self, key: str) -> bool:
        """Whether a key that is there can be written."""
        raise NotImplementedError

    def set_sysctl(self, key: str, value: str) -> None:
        """Set it."""
        raise NotImplementedError

    def make_tmpfiles(self, path: str) -> None:
        """Have systemd-tmpfiles create what a file says."""
        raise NotImplementedError

    def accounts(self, database: str, keys: Sequence[str]) -> Mapping[str, int]:
        """Name to number of those of `keys` (names or numbers) that any source of `passwd` or `group` knows, directories
        among them. Raises where they do not answer in time."""
        raise NotImplementedError

    def judge(self, command: Sequence[str]) -> str:
        """What a program of the host that checks files says against them; empty: nothing, or it is not installed."""
        raise NotImplementedError

    def relabel(self, paths: Sequence[str]) -> None:
        """Give paths that we made the security labels that the host's policy has for them, where it has one."""
        raise NotImplementedError

    def labels(self, disk: Disk) -> Optional[Labels]:
        """What labels our directories, where the host has security labels; None elsewhere."""
        raise NotImplementedError

    def forget_accounts(self) -> None:
        """Have the cache of accounts, where one runs, look again."""
        raise NotImplementedError


@dataclass(frozen=True)
class Machine:
    """The host."""

    disk: Disk
    systemd: SystemdPort
    store: StorePort
    system: SystemPort
    clock: Clock
    own_interpreter: Tuple[str, ...]
    """The command that runs this process: `/usr/bin/python3 -I`."""
    within: str = ""
    """The unit of ours that this process must not stop, because it is part of it."""

    @property
    def interpreter(self) -> Tuple[str, ...]:
        """The command that runs a runtime, also after a reboot."""
        brought = self.store.interpreter()
        return (brought, "-I", "-B") if brought else self.own_interpreter

    @property
    def journal(self) -> Journal:
        """The transaction's fate."""
        return Journal(self.disk)

    @property
    def undo(self) -> UndoLog:
        """What was there before."""
        return UndoLog(self.disk)

    @property
    def profile(self) -> Profile:
        """The generations."""
        return Profile(self.disk)

    @property
    def events(self) -> EventLog:
        """What the transaction tells."""
        return EventLog(self.disk)


def without_timing(manifest: Manifest) -> Manifest:
    """What a manifest declares, apart from how it is activated."""
    from deployer.formats.manifest import Manifest

    nothing = Manifest()
    return dataclasses.replace(manifest, timing=nothing.timing, generations=nothing.generations, runtime="", checks=())
