"""The reader of archives takes the one archive of each tree and nothing else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.nar import MAX_DEPTH, NarReader, NarRefused, token


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
    stream, tree = io.BytesIO(data), Tree()
    seen: list[bytes] = []

    def take(size):
        piece = stream.read(size)
        if len(piece) != size:
            raise EOFError
        return piece

    NarReader(take, tree, seen.append).tree()
    assert b"".join(seen) == data[: stream.tell()]
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
    except (NarRefused, EOFError):
        return

    assert actual != expected


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"n" * 256])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(NarRefused):
        read(archive(directory(entry(name, regular()))))


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"B")])
def test_entries_out_of_order_or_twice_are_refused(names):
    with pytest.raises(NarRefused, match="out of order"):
        read(archive(directory(*(entry(name, regular()) for name in names))))


@pytest.mark.parametrize("target", [b"", b"a\0b", b"t" * 4096])
def test_a_target_that_no_link_can_have_is_refused(target):
    with pytest.raises(NarRefused):
        read(archive(words(b"(", b"type", b"symlink", b"target", target, b")")))


def test_padding_that_is_not_zero_is_refused():
    whole = archive(regular(b"abc"))
    at = whole.index(b"abc") + 3

    with pytest.raises(NarRefused, match="padding"):
        read(whole[:at] + b"x" + whole[at + 1 :])


@pytest.mark.parametrize(
    "node",
    [
        words(b"(", b"type", b"regular", b")"),
        words(b"(", b"type", b"regular", b"executable", b"", b")"),
        words(b"(", b"type", b"regular", b"executable", b"x", b"contents", b"", b")"),
        words(b"(", b"type", b"device", b")"),
        words(b"(", b"type", b"regular", b"contents", b"", b"contents", b"", b")"),
        words(b"(", b"type", b"regular", b"deployer-held", b"0" * 52, b")"),
    ],
)
def test_a_second_form_of_a_node_is_refused(node):
    with pytest.raises(NarRefused):
        read(archive(node))


def test_a_tree_may_be_as_deep_as_nix_allows_and_no_deeper():
    def nested(depth):
        node = regular()
        for _ in range(depth):
            node = directory(entry(b"d", node))
        return archive(node)

    assert read(nested(MAX_DEPTH))
    with pytest.raises(NarRefused, match="nested"):
        read(nested(MAX_DEPTH + 1))
