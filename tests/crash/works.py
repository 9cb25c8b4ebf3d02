"""The pieces of work that are cut off: what a host is before each, how it is begun, and what must be true once it has ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.formats.frames import encode_document
from deployer.formats.manifest import Check, EtcEntry, Group, Manifest, Timing, Unit, User
from deployer.formats.messages import CONFIRMED, ROLLED_BACK
from tests.crash.patient import ARRANGED, TOKEN, TRANSACTION, Patient, Start, activation

UNITS: Final = ("web.service", "web-extra.service")
TIMING: Final = Timing(unit_timeout=10, check_deadline=5, confirm_timeout=2)
_WEB: Final = "[Service]\nType=exec\nExecStart=/bin/sleep %d\n"
_BROKEN: Final = "[Service]\nType=oneshot\nExecStart=/bin/false\n"
_ALL_CHANGED: Final = (-1, "rename", "transaction/ledger.json")
"""The last of the calls of this name on this path."""
_HEALTHY: Final = (3, "fdatasync", "deployer/journal")
"""The fourth: armed, switching, checking, healthy."""
_TMPFILES: Final = "d /var/lib/web-made 0755 root root -"


@dataclass(frozen=True)
class Work:
    """One piece of work, that is cut off at each of its calls in turn."""

    name: str
    start: Start
    begin: Callable[[], list[str]]
    """Makes it ready; the runtime's command that does it."""
    ends: tuple[str, ...]
    """Every state that the journal may end in. Confirmed is new; all else is old."""
    frames: bytes = b""
    again: bool = False
    """Whether it is done once more after it was cut off, instead of being recovered by the host."""
    booting: bool = False
    """Whether it is part of a boot: then nothing but the next boot ends it."""
    fixed: bool = True
    """Whether each run makes the same calls."""


class Ward:
    """The patient with its systems, and the works on it."""

    def __init__(self, patient: Patient, elsewhere: Path) -> None:
        """`elsewhere` is a directory of the controller's."""
        self.patient, self._elsewhere = patient, elsewhere
        self.one = patient.system("one", *_first())
        self.two = patient.system("two", *_second(_WEB % 1003))
        self.broken = patient.system("broken", *_second(_BROKEN))
        self.bare = patient.save("bare")
        patient.prepare(self.one, "", transaction=ARRANGED)
        done = patient.run("switch", ARRANGED)
        seen = patient.state()
        assert (seen["state"], seen["red"]) == (CONFIRMED, []), (seen, done)
        self.first = patient.save("first")

    def works(self) -> dict[str, Callable[[], Work]]:
        """All of them, by name."""
        return {
            "first deployment": self.first_deployment,
            "change": self.change,
            "rollback": self.rollback,
            "recovery by the timer": self.recovery,
            "recovery at boot": self.recovery_at_boot,
            "request and confirmation": self.request,
            "confirmation without a driver": self.confirmation,
            "uninstallation": self.uninstallation,
            "copy": self.copy,
        }

    def first_deployment(self) -> Work:
        """Nothing of ours is there, save the copied paths."""
        return Work("first deployment", self.bare, lambda: self._prepared(self.one, ""), (CONFIRMED, ROLLED_BACK))

    def change(self) -> Work:
        """From one generation to another, confirmed at once."""
        return Work("change", self.first, lambda: self._prepared(self.two, self.one), (CONFIRMED, ROLLED_BACK))

    def rollback(self) -> Work:
        """To a generation with a unit that fails, and back."""
        return Work("rollback", self.first, lambda: self._prepared(self.broken, self.one), (ROLLED_BACK,))

    def recovery(self) -> Work:
        """A change was cut off once all files had changed; the timer takes it back, and is cut off too."""
        return Work("recovery by the timer", self.first, self._cut_off(_ALL_CHANGED, "recover", "--timer"), (ROLLED_BACK,))

    def recovery_at_boot(self) -> Work:
        """The same by the boot unit; then the host boots once more."""
        begin = self._cut_off(_ALL_CHANGED, "recover", "--boot")
        return Work("recovery at boot", self.first, begin, (ROLLED_BACK,), booting=True)

    def request(self) -> Work:
        """What the server does itself: prepare, start the service, and lay the confirmation down."""
        asked = activation(self.two, self.one).to_document()
        frames = encode_document({"id": 1, "verb": "activate", **asked})
        frames += encode_document({"id": 2, "verb": "confirm", "transaction": TRANSACTION, "token": TOKEN})
        ends = ("", CONFIRMED, ROLLED_BACK)
        return Work("request and confirmation", self.first, lambda: ["serve"], ends, frames, fixed=False)

    def confirmation(self) -> Work:
        """The driver died while it waited for the confirmation: who brings it commits."""
        begin = self._cut_off(_HEALTHY, "serve", confirmed=False)
        frames = encode_document({"id": 1, "verb": "confirm", "transaction": TRANSACTION, "token": TOKEN})
        return Work("confirmation without a driver", self.first, begin, (CONFIRMED, ROLLED_BACK), frames)

    def uninstallation(self) -> Work:
        """Everything of ours goes."""
        frames = encode_document({"id": 1, "verb": "uninstall", "dry_run": False})
        return Work("uninstallation", self.first, lambda: ["serve"], ("",), frames, again=True)

    def copy(self) -> Work:
        """Two paths come over the wire: one in several directories, with equal files, and one that refers to it."""
        tree = self._elsewhere / "tree"
        for number in range(4):
            (tree / f"d{number}").mkdir(parents=True, exist_ok=True)
            (tree / f"d{number}" / "file").write_bytes(b"%d" % (number // 2) * 9000)
        low = str(self.patient.store.add_tree("low", tree))
        high = str(self.patient.store.add_text("high", low.encode(), [low]))
        frames = self.patient.stream(low, high)
        return Work("copy", self.first, lambda: ["serve"], ("",), frames, again=True, fixed=False)

    def _prepared(self, system: str, previous: str, *, confirmed: bool = True) -> list[str]:
        self.patient.prepare(system, previous, confirmed=confirmed)
        return ["switch", TRANSACTION]

    def _cut_off(self, where: tuple[int, str, str], *command: str, confirmed: bool = True) -> Callable[[], list[str]]:
        """`command` after the change from one to two, which was killed at a place that is looked for in a run of it."""
        patient, (nth, name, path) = self.patient, where
        patient.restore(self.first)
        calls = patient.run(*self._prepared(self.two, self.one))["calls"]
        places = [number for number, call in enumerate(calls) if call.startswith(name) and path in call]
        fault = {"number": places[nth], "kill": "after"}

        def begin() -> list[str]:
            done = patient.run(*self._prepared(self.two, self.one, confirmed=confirmed), fault=fault)
            assert done["hit"], done
            return list(command)

        return begin


def _first() -> tuple[Manifest, dict[str, str]]:
    """Takes the motd over; a unit, links, a real file in a directory of its own, a rule of tmpfiles, a user."""
    web = _WEB % 1001
    files = {
        "web.conf": "one\n",
        "motd": "ours\n",
        "deep/er/real": "real one\n",
        "systemd/system/web.service": web,
        "tmpfiles.d/deployer.conf": _TMPFILES + "\n",
    }
    entries = (
        _link("web.conf", files),
        _link("motd", files, replace=True),
        EtcEntry("deep/er/real", "file", _digest("real one\n"), mode="0600"),
        _link("systemd/system/web.service", files),
        EtcEntry("systemd/system/multi-user.target.wants/web.service", "symlink", target="../web.service"),
        _link("tmpfiles.d/deployer.conf", files),
    )
    manifest = Manifest(
        etc=entries,
        units=(Unit("web.service", web),),
        users=(User("web", uid=990, group="web"),),
        groups=(Group("web", gid=990),),
        tmpfiles=(_TMPFILES,),
        checks=(Check("web", "unit", unit="web.service", interval=0.1),),
        timing=TIMING,
    )
    return manifest, files


def _second(extra: str) -> tuple[Manifest, dict[str, str]]:
    """Drops motd and the rule, changes the unit and the real file, takes issue over, and adds a unit, a link and a user."""
    web = _WEB % 1002
    files = {
        "web.conf": "two\n",
        "issue": "ours too\n",
        "deep/er/real": "real two\n",
        "systemd/system/web.service": web,
        "systemd/system/web-extra.service": extra,
    }
    entries = (
        _link("web.conf", files),
        EtcEntry("issue", "file", _digest("ours too\n"), mode="0640", group="web", replace=True),
        EtcEntry("deep/er/real", "file", _digest("real two\n"), mode="0640", group="web"),
        EtcEntry("new/link", "symlink", target="/dev/null"),
        EtcEntry("new/directory", "directory", mode="0750"),
        _link("systemd/system/web.service", files),
        EtcEntry("systemd/system/multi-user.target.wants/web.service", "symlink", target="../web.service"),
        _link("systemd/system/web-extra.service", files),
        EtcEntry("systemd/system/multi-user.target.wants/web-extra.service", "symlink", target="../web-extra.service"),
    )
    manifest = Manifest(
        etc=entries,
        units=(Unit("web.service", web), Unit("web-extra.service", extra)),
        users=(User("web", uid=990, group="web"), User("worker", uid=991, group="web", home="/home/worker", create_home=True)),
        groups=(Group("web", gid=990),),
        checks=(Check("web", "unit", unit="web.service", interval=0.1),),
        timing=TIMING,
    )
    return manifest, files


def _link(path: str, files: dict[str, str], *, replace: bool = False) -> EtcEntry:
    return EtcEntry(path, "link", _digest(files[path]), replace=replace)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
