"""Broken bytes for every reader: they are read or refused by name, within bounds, and touch nothing but the destination."""

from __future__ import annotations

import hashlib
import io
import os
import random
import sys
import time

import pytest

from deployer.formats import Derivation, DerivationRefused, NarRefused, Output, StorePathRefused
from deployer.formats.export import ExportWriter, read_export
from deployer.formats.frames import FrameRefused
from deployer.formats.hashes import Hash
from deployer.formats.nar import NarReader, exactly, token
from deployer.formats.narinfo import NarInfo, NarInfoRefused
from deployer.formats.pathstream import MAX_HEADER, PathHeader, encode_end, read_header
from deployer.formats.storepath import StorePath
from deployer.store import Store, trees
from deployer.store.errors import ReferenceInvalid
from deployer.store.exporting import import_paths
from deployer.store.restoring import restore

INPUTS = int(os.environ.get("DEPLOYER_FUZZ_INPUTS", "5000"))
"""For each of the five readers; a tenth as many go into a whole store."""
SLOW = 2.0
"""Seconds that no input may take."""
LOW, HIGH = ("/nix/store/" + letter * 32 + name for letter, name in (("a", "-low"), ("b", "-high")))
HOSTILE_NAMES = (b"..", b".", b"", b"/etc/passwd", b"../out", b"a/b", b"a\0b", b"x" * 256, b"same", b"same", b"\xff")
HOSTILE_WORDS = (b"(", b")", b"type", b"regular", b"directory", b"symlink", b"entry", b"node", b"executable", b"deployer-held")
NUMBERS = (0, 1, 2, 255, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def grow(dice, depth=0):
    """The words of a tree; now and then hostile."""
    kind = dice.choice(["regular", "symlink", "directory", "directory"] if depth < 4 else ["regular"])
    words = [b"(", b"type", kind.encode()]
    if kind == "regular":
        words += [*([b"executable", b""] if dice.random() < 0.3 else []), b"contents", dice.randbytes(dice.randrange(20))]
    elif kind == "symlink":
        words += [b"target", dice.choice([b"..", b"/", b"../../outside", b"/etc", b"name"])]
    else:
        names = sorted({b"%c" % dice.randrange(97, 123) for _ in range(dice.randrange(4))})
        if dice.random() < 0.15:
            names.append(dice.choice(HOSTILE_NAMES))
        for name in names:
            words += [b"entry", b"(", b"name", name, b"node", *grow(dice, depth + 1), b")"]
    if depth == 0 and dice.random() < 0.2:
        words.insert(dice.randrange(len(words)), dice.choice(HOSTILE_WORDS))
    return [*words, b")"]


def nar(dice):
    return b"".join(map(token, [b"nix-archive-1", *grow(dice)]))


def export(dice):
    stream = io.BytesIO()
    writer = ExportWriter(stream.write)
    writer.path(PathHeader(LOW, "", 0), lambda write: write(nar(dice)))
    writer.path(PathHeader(HIGH, "", 0, (LOW,), LOW + ".drv"), lambda write: write(nar(dice)))
    writer.end()
    return stream.getvalue()


def path_stream(dice):
    tree = nar(dice)
    header = PathHeader(LOW, Hash("sha256", hashlib.sha256(tree).digest()).base32, len(tree), (HIGH,), "", "", ("key:1",))
    return header.encode() + tree + encode_end()


def derivation(dice):
    environment = {dice.choice("abc"): dice.choice(["", 'x"\\\n\t\r', "\xe9"]) for _ in range(3)}
    inputs = {LOW + ".drv": ("out",)} if dice.random() < 0.5 else {}
    return Derivation("test", {"out": Output(HIGH)}, inputs, (LOW,), "any", "/bin/sh", ("-c",), environment).to_bytes()


def narinfo(_):
    path, digest = StorePath.parse(LOW), Hash("sha256", bytes(32))
    return NarInfo(path, "nar/x", digest, 7, (path,), "xz", digest.base32, 9, "", ("key:1",)).serialize().encode()


def damaged(dice, data):
    """Bytes flipped, cut out, doubled, swapped; numbers and names of ill repute put in."""
    for _ in range(dice.choice([0, 1, 1, 2, 4])):
        at, size = dice.randrange(len(data) + 1), dice.choice([1, 8, 16, 64])
        match dice.randrange(6):
            case 0:
                data = data[:at] + dice.randbytes(1) + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[at + size :]
            case 3:
                data = data[:at] + data[at : at + size] * 2 + data[at + size :]
            case 4:
                at -= at % 8
                data = data[:at] + dice.choice(NUMBERS).to_bytes(8, "little") + data[at + 8 :]
            case 5:
                data = data[:at] + dice.choice([token(dice.choice(HOSTILE_NAMES)), *HOSTILE_NAMES]) + data[at:]
    return data


def bounded(data):
    """A reader of up to n bytes, that nobody may ask for more than the longest header at once."""
    stream = io.BytesIO(data)

    def read(size):
        assert 0 <= size <= MAX_HEADER
        return stream.read(size)

    return read


class Place:
    """A destination, with surroundings that must stay as they are."""

    def __init__(self, path):
        self.path, self.out = path, path / "room" / "out"
        (path / "room").mkdir()
        (path / "outside").mkdir()
        (path / "outside/file").write_text("untouched")
        (path / "room/beside").write_text("untouched")
        self.before = self.surroundings()

    def surroundings(self):
        found = {}
        for directory, directories, files in os.walk(self.path):
            for name in (*directories, *files):
                status = os.lstat(os.path.join(directory, name))
                found[directory, name] = (status.st_mode, status.st_size, status.st_nlink, status.st_mtime_ns * (name in files))
        return found

    def sink(self):
        self.clear()
        return trees.Unpacker(str(self.out), held_by_nobody)

    def clear(self):
        if os.path.lexists(self.out):
            trees.remove(str(self.out))
        assert self.surroundings() == self.before


def held_by_nobody(name):
    raise NarRefused(name)


def read_nar(data, place):
    try:
        restore(bounded(data), str(place.out))
    except NarRefused:
        assert not os.path.lexists(place.out)
        raise


def read_exported(data, place):
    for _ in read_export(exactly(bounded(data)), place.sink):
        pass


def read_path_stream(data, place):
    read = exactly(bounded(data))
    while read_header(read) is not None:
        NarReader(read, place.sink(), lambda _: None).tree()


def read_derivation(data, _):
    assert Derivation.parse(data, "test").to_bytes() == data


def read_narinfo(data, _):
    info = NarInfo.parse(data.decode(errors="surrogateescape"), "test")
    assert NarInfo.parse(info.serialize(), "test") == info


@pytest.mark.parametrize(
    ("make", "read", "refusals"),
    [
        (nar, read_nar, (NarRefused,)),
        (export, read_exported, (NarRefused, StorePathRefused)),
        (path_stream, read_path_stream, (NarRefused, FrameRefused)),
        (derivation, read_derivation, (DerivationRefused,)),
        (narinfo, read_narinfo, (NarInfoRefused,)),
    ],
    ids=["nar", "export", "path stream", "derivation", "narinfo"],
)
def test_whatever_comes_is_read_or_refused(tmp_path, make, read, refusals):
    first = random.randrange(1 << 30)
    sys.stdout.write(f"first seed {first}\n")
    place, refused = Place(tmp_path), 0

    for seed in range(first, first + INPUTS):
        dice = random.Random(seed)
        data = damaged(dice, make(dice))
        started = time.thread_time()
        try:
            read(data, place)
        except refusals:
            refused += 1
        except BaseException:
            sys.stdout.write(f"seed {seed}: {data!r}\n")
            raise
        assert time.thread_time() - started < SLOW, seed
        place.clear()

    assert INPUTS * 0.1 < refused < INPUTS


def test_a_store_takes_all_of_a_stream_or_nothing(tmp_path):
    first = random.randrange(1 << 30)
    sys.stdout.write(f"first seed {first}\n")
    store, taken = Store(tmp_path / "root"), 0

    for seed in range(first, first + INPUTS // 10):
        dice = random.Random(seed)
        before = store.database.all_paths()
        try:
            import_paths(store, bounded(damaged(dice, export(dice))))
            taken += 1
        except (NarRefused, ReferenceInvalid, StorePathRefused):
            assert store.database.all_paths() == before, seed
        except BaseException:
            sys.stdout.write(f"seed {seed}\n")
            raise
        assert os.listdir(store.layout.aside) == [], seed

    assert 0 < taken < INPUTS // 10
    assert os.listdir(tmp_path) == ["root"]
