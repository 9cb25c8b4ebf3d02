"""The reader of archives takes the one archive of each tree and nothing else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.nar import MAX_DEPTH, PIECE, NarReader, NarRefused, exactly, read_whole, token
from deployer.store import trees


class Tree:
    """Remembers what was read."""

    def __init__(self):
        self.found = {}

    def directory(self, path):
        self.found[path] = "directory"

    def symlink(self, path, target):
        self.found[path] = target

    def file(self, path, executable, size, pieces):
        self.found[path] = (executable, b"".join(pieces))

    def held(self, path, executable, name):
        raise AssertionError("nothing is held")


def read(data):
    tree = Tree()
    seen: list[bytes] = []
    read_whole(io.BytesIO(data).read, tree, seen.append)
    assert b"".join(seen) == data
    return tree.found


def words(*parts):
    return b"".join(token(part) for part in parts)


def regular(content=b"", executable=False):
    return words(b"(", b"type", b"regular", *([b"executable", b""] if executable else []), b"contents", content, b")")


def entry(name, node):
    return words(b"entry", b"(", b"name", name, b"node") + node + words(b")")


def directory(*entries):
    return words(b"(", b"type", b"directory") + b"".join(entries) + words(b")")


def archive(node):
    return words(b"nix-archive-1") + node


def nodes():
    names = st.binary(min_size=1, max_size=20).filter(lambda name: name not in {b".", b".."} and not set(name) & {0, 47})
    files = st.builds(regular, st.binary(max_size=40), st.booleans())
    targets = st.binary(min_size=1, max_size=30).filter(lambda target: 0 not in target)
    links = targets.map(lambda target: words(b"(", b"type", b"symlink", b"target", target, b")"))

    def grow(children):
        return st.dictionaries(names, children, max_size=4).map(
            lambda held: directory(*(entry(name, held[name]) for name in sorted(held)))
        )

    return st.recursive(st.one_of(files, links), grow, max_leaves=12)


@given(nodes())
def test_every_canonical_archive_is_read_and_hashed_whole(node):
    assert b"" in read(archive(node))


@given(nodes(), st.data())
def test_a_changed_byte_is_never_read_as_the_same_tree(node, data):
    whole = archive(node)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    expected = read(whole)

    try:
        actual = read(changed)
    except NarRefused:
        return

    assert actual != expected


@given(nodes(), st.integers(1, 9))
def test_a_tree_is_the_same_however_little_is_read_at_once(node, most):
    stream, tree = io.BytesIO(archive(node)), Tree()

    read_whole(lambda size: stream.read(min(size, most)), tree, lambda data: None)

    assert tree.found == read(archive(node))


@given(nodes(), st.data())
def test_an_archive_that_is_cut_off_is_refused(node, data):
    whole = archive(node)
    with pytest.raises(NarRefused):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


def nested(depth):
    node = regular()
    for _ in range(depth):
        node = directory(entry(b"d", node))
    return archive(node)


def link(*target):
    return words(b"(", b"type", b"symlink", *target, b")")


def file(*fields):
    return archive(words(b"(", b"type", b"regular", *fields, b")"))


TAKEN = {
    "a file": archive(regular(b"text")),
    "an empty program": archive(regular(b"", executable=True)),
    "an empty directory": archive(directory()),
    "names that differ in case": archive(directory(entry(b"A", regular()), entry(b"a", directory()))),
    "a name that is no text": archive(directory(entry(b"\xff\n", regular()))),
    "a name of 255 bytes": archive(directory(entry(b"n" * 255, regular()))),
    "a name with the start of a sibling": archive(directory(entry(b"a", regular()), entry(b"a-", regular()))),
    "three dots": archive(directory(entry(b"...", regular()))),
    "a target of 4095 bytes": archive(link(b"target", b"t" * 4095)),
    "a target that leads out": archive(link(b"target", b"../../etc")),
    "a tree of the greatest depth": nested(MAX_DEPTH),
}
"""Taken by Nix and by us, with the same tree."""

REFUSED = {
    "nothing": b"",
    "another magic": words(b"nix-archive-2") + regular(),
    "an entry twice": archive(directory(entry(b"a", regular()), entry(b"a", regular()))),
    "an empty name": archive(directory(entry(b"", regular()))),
    "one dot": archive(directory(entry(b".", regular()))),
    "two dots": archive(directory(entry(b"..", regular()))),
    "a name with a slash": archive(directory(entry(b"a/b", regular()))),
    "an absolute name": archive(directory(entry(b"/etc", regular()))),
    "a name with a NUL": archive(directory(entry(b"a\0b", regular()))),
    "a name of 256 bytes": archive(directory(entry(b"n" * 256, regular()))),
    "an empty target": archive(link(b"target", b"")),
    "a target of 4096 bytes": archive(link(b"target", b"t" * 4096)),
    "two targets": archive(link(b"target", b"a", b"target", b"b")),
    "padding of contents": archive(regular(b"abc")).replace(b"abc\0", b"abc\1"),
    "padding of a name": archive(directory(entry(b"abc", regular()))).replace(b"abc\0", b"abc\1"),
    "padding of a target": archive(link(b"target", b"abc")).replace(b"abc\0", b"abc\1"),
    "padding of a word": archive(regular()).replace(b"type\0", b"type\1"),
    "a marker of a program that is not empty": file(b"executable", b"x", b"contents", b""),
    "a type twice": file(b"type", b"regular", b"contents", b""),
    "no known type": archive(words(b"(", b"type", b"device", b")")),
    "a target of a file": file(b"target", b"a"),
    "an entry of a file": archive(words(b"(", b"type", b"regular") + entry(b"a", regular()) + words(b")")),
    "contents of a directory": archive(words(b"(", b"type", b"directory", b"contents", b"a", b")")),
    "a program that is a directory": archive(words(b"(", b"type", b"directory", b"executable", b"", b")")),
    "an unknown field": file(b"mode", b"0644"),
    "an unknown field of an entry": archive(
        directory(words(b"entry", b"(", b"name", b"a", b"node") + regular() + words(b"x", b")"))
    ),
    "an entry without a name": archive(directory(words(b"entry", b"(", b"node") + regular() + words(b")"))),
    "a name after its node": archive(directory(words(b"entry", b"(", b"node") + regular() + words(b"name", b"a", b")"))),
    "a file that the receiver holds": file(b"deployer-held", b"0" * 52),
    "more contents than come": archive(words(b"(", b"type", b"regular", b"contents")) + (1 << 62).to_bytes(8, "little"),
    "a directory without end": archive(words(b"(", b"type", b"directory")),
}
"""Refused by Nix, and by us."""

STRICTER = {
    "entries out of order": archive(directory(entry(b"b", regular()), entry(b"a", regular()))),
    "entries in the order of a locale": archive(directory(entry(b"a", regular()), entry(b"B", regular()))),
    "a target with a NUL": archive(link(b"target", b"a\0b")),
    "a link without a target": archive(link()),
    "a file without contents": file(),
    "a program without contents": file(b"executable", b""),
    "a program by its last field": file(b"contents", b"", b"executable", b""),
    "a program twice": file(b"executable", b"", b"executable", b"", b"contents", b""),
    "contents twice": file(b"contents", b"a", b"contents", b"b"),
    "no type": archive(words(b"(", b")")),
    "an entry without a node": archive(directory(words(b"entry", b"(", b"name", b"a", b")"))),
    "two names": archive(directory(words(b"entry", b"(", b"name", b"a", b"name", b"b", b"node") + regular() + words(b")"))),
    "a tree that is too deep": nested(MAX_DEPTH + 1),
    "something after it": archive(regular()) + b"x",
    "zeros after it": archive(regular()) + bytes(8),
}
"""Taken by Nix 2.8, though it writes none of them (newer ones refuse some): one tree would have two archives, and two hashes."""

ALL = {**TAKEN, **REFUSED, **STRICTER}


@pytest.mark.nix
@pytest.mark.parametrize("name", ALL)
def test_an_archive_is_taken_or_refused_as_by_nix(nix, tmp_path, name):
    restored = nix.run("nix-store", "--restore", str(tmp_path / "restored"), stdin=ALL[name], check=False)
    dumped = nix.run("nix-store", "--dump", str(tmp_path / "restored"), check=False).stdout

    if name in TAKEN:
        assert (restored.returncode, dumped) == (0, ALL[name])
        assert read(ALL[name])
        return
    with pytest.raises(NarRefused):
        read(ALL[name])
    if name in REFUSED:
        assert restored.returncode != 0
    elif restored.returncode == 0:
        # Nor does Nix itself write what it took.
        assert dumped != ALL[name] or name == "a tree that is too deep"


@pytest.mark.nix
@pytest.mark.parametrize("archived", ["a file", "an empty directory", "a target that leads out"])
@pytest.mark.parametrize("standing", ["file", "directory", "link", "dangling link"])
def test_nothing_is_unpacked_over_what_stands_there(nix, tmp_path, standing, archived):
    aim, place = tmp_path / "aim", tmp_path / "place"
    aim.write_text("kept")
    {
        "file": lambda: place.write_text("kept"),
        "directory": place.mkdir,
        "link": lambda: place.symlink_to(aim),
        "dangling link": lambda: place.symlink_to(tmp_path / "nowhere"),
    }[standing]()
    before = sorted((path.name, path.lstat().st_ino) for path in tmp_path.iterdir())

    assert nix.run("nix-store", "--restore", str(place), stdin=TAKEN[archived], check=False).returncode != 0
    with pytest.raises(FileExistsError):
        read_whole(io.BytesIO(TAKEN[archived]).read, trees.Unpacker(str(place), str), lambda data: None)

    assert sorted((path.name, path.lstat().st_ino) for path in tmp_path.iterdir()) == before
    assert aim.read_text() == "kept"


def test_a_stream_is_read_no_further_than_its_tree():
    stream = io.BytesIO(archive(directory(entry(b"a", regular(b"abc")))) + b"next")

    NarReader(exactly(stream.read), Tree(), lambda data: None).tree()

    assert stream.read() == b"next"


def test_long_contents_pass_through_piece_by_piece():
    content = bytes(range(256)) * 4096
    largest = 0

    def seen(data):
        nonlocal largest
        largest = max(largest, len(data))

    tree = Tree()
    read_whole(io.BytesIO(archive(regular(content))).read, tree, seen)

    assert tree.found == {b"": (False, content)}
    assert largest <= PIECE
