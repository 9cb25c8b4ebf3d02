"""Random trees on a disk, and their archives."""

from __future__ import annotations

import os

from hypothesis import strategies as st

from deployer.store import trees

NAMES = st.binary(min_size=1, max_size=9).filter(lambda name: name not in {b".", b".."} and not set(name) & {0, 47})
TREES = st.recursive(
    st.one_of(
        st.tuples(st.just("file"), st.binary(max_size=30), st.sampled_from([0o644, 0o755, 0o100, 0o4755, 0o611])),
        st.tuples(st.just("link"), st.binary(min_size=1, max_size=9).filter(lambda target: 0 not in target)),
    ),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def make(tree, where):
    """Put a tree on the disk."""
    if isinstance(tree, dict):
        where.mkdir()
        for name, inner in tree.items():
            make(inner, where / os.fsdecode(name))
    elif tree[0] == "link":
        where.symlink_to(os.fsdecode(tree[1]))
    else:
        where.write_bytes(tree[1])
        where.chmod(tree[2])


def dumped(path):
    """The archive of what stands at a path."""
    pieces: list[bytes] = []
    trees.write_nar(str(path), pieces.append)
    return b"".join(pieces)
