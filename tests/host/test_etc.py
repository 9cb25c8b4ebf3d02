"""Entries of /etc: taking over, giving back, and never losing what somebody wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployer.formats.manifest import EtcEntry
from deployer.formats.messages import Action
from deployer.host.disk import Disk
from deployer.host.disk_walk import PathRefused
from deployer.host.etc import EtcWriter, PathTaken, in_order_of_removal, restore
from deployer.host.fingerprints import fingerprint
from deployer.host.ledger import Ledger, Metadata, OwnedPath
from deployer.host.paths import BEFORE, KEPT, ORIGINALS, STATE_DIRECTORY, TRANSACTION, UNDO
from deployer.host.undo import UndoLog
from tests.host.world import digest, link, real_file

SYSTEM = "/nix/store/system"


class Host:
    """A disk and a writer for it."""

    def __init__(self, root: Path) -> None:
        self.root, self.disk, self.notes = root, Disk(root), list[Action]()
        (root / "etc").mkdir()
        (root / "var/lib").mkdir(parents=True)
        for path in (STATE_DIRECTORY, TRANSACTION, BEFORE, ORIGINALS, KEPT):
            self.disk.make_directory(path, Metadata(0o700, 0, 0))
        self.disk.write(UNDO, b"", Metadata(0o600, 0, 0))
        self.writer = EtcWriter(self.disk, UndoLog(self.disk), system=SYSTEM, tag="t", note=self.notes.append)

    def content(self, path: str, text: str) -> None:
        place = self.root / SYSTEM.lstrip("/") / "etc" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def put(self, entry: EtcEntry, owned: OwnedPath | None = None) -> OwnedPath:
        return self.writer.put(entry, owned, [])


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_file_of_the_host_is_refused(host: Host) -> None:
    (host.root / "etc/motd").write_text("theirs")

    with pytest.raises(PathTaken, match="/etc/motd is there already"):
        host.put(link("motd", "ours"))

    assert (host.root / "etc/motd").read_text() == "theirs"


def test_a_file_that_is_replaced_comes_back_with_all_that_it_had(host: Host) -> None:
    motd = host.root / "etc/motd"
    motd.write_text("theirs")
    os.chmod(motd, 0o604)
    os.utime(motd, ns=(5, 7))

    owned = host.put(link("motd", "ours", replace=True))
    assert motd.is_symlink()
    host.writer.take_away("motd", owned)

    status = motd.stat()
    assert (motd.read_text(), status.st_mode & 0o7777, status.st_mtime_ns) == ("theirs", 0o604, 7)


def test_a_file_that_is_there_just_as_declared_is_left_and_stays(host: Host) -> None:
    (host.root / "etc/same").write_text("same")
    os.chmod(host.root / "etc/same", 0o644)
    inode = (host.root / "etc/same").stat().st_ino
    host.content("same", "same")

    owned = host.put(real_file("same", "same"))
    host.writer.take_away("same", owned)

    assert owned.adopted
    assert (host.root / "etc/same").stat().st_ino == inode


def test_a_real_file_that_was_changed_by_hand_is_kept_aside(host: Host) -> None:
    host.content("app.conf", "one")
    owned = host.put(real_file("app.conf", "one"))
    (host.root / "etc/app.conf").write_text("by hand")
    host.content("app.conf", "two")

    host.put(real_file("app.conf", "two"), owned)

    kept = list((host.root / KEPT.lstrip("/")).iterdir())
    assert [place.read_text() for place in kept] == ["by hand"]
    assert (host.notes[0].kind, host.notes[0].target) == ("kept", f"/{kept[0].relative_to(host.root)}")
    assert host.notes[0].because == "/etc/app.conf: it was changed by hand"
    assert (host.root / "etc/app.conf").read_text() == "two"


def test_nothing_is_written_through_a_link_or_below_what_others_may_write(host: Host, tmp_path: Path) -> None:
    (host.root / "elsewhere").mkdir()
    (host.root / "etc/linked").symlink_to(host.root / "elsewhere")
    (host.root / "etc/open").mkdir()
    os.chmod(host.root / "etc/open", 0o777)

    for path in ("linked/file", "open/file"):
        with pytest.raises(PathRefused):
            host.put(link(path, "x"))

    assert list((host.root / "elsewhere").iterdir()) == []
    assert list((host.root / "etc/open").iterdir()) == []


def test_directories_made_on_the_way_go_when_they_are_empty(host: Host) -> None:
    made: list[str] = []
    owned = host.writer.put(link("a/b/c", "x"), None, made)
    assert made == ["/etc/a", "/etc/a/b"]
    (host.root / "etc/a/theirs").write_text("x")

    host.writer.take_away("a/b/c", owned)

    assert host.writer.drop_directory("/etc/a/b")
    assert not host.writer.drop_directory("/etc/a")


def test_undoing_twice_is_undoing_once(host: Host) -> None:
    place = host.root / "etc/file"
    place.write_text("theirs")
    before = fingerprint(host.disk, "/etc/file")
    owned = host.put(link("file", "x", replace=True))

    for _ in range(2):
        restore(host.disk, "/etc/file", owned.original)

        assert fingerprint(host.disk, "/etc/file") == before


def test_content_that_the_store_lost_is_not_written(host: Host) -> None:
    host.content("secret", "something else")

    with pytest.raises(Exception, match="does not match its manifest"):
        host.put(real_file("secret", "as declared"))

    assert not (host.root / "etc/secret").exists()


def test_an_entry_below_a_removed_one_waits_for_its_going() -> None:
    assert in_order_of_removal(["a", "b/c", "d"], ["a/b", "b", "e"]) == (["b/c", "a"], ["d"])


def test_the_ledger_reads_what_it_wrote(host: Host) -> None:
    (host.root / "etc/motd").write_text("theirs")
    ledger = Ledger(etc={"motd": host.put(link("motd", "x", replace=True))}, users={"web": 990}, sysctl={"a.b": "1"})

    assert Ledger.from_bytes(ledger.to_bytes()) == ledger
    assert digest("theirs") == digest((host.root / ORIGINALS.lstrip("/") / "t-1").read_text())
