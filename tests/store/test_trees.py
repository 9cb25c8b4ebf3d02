"""Trees that nobody made with good intent are removed all the same."""

from __future__ import annotations

import os

from deployer.store.trees import remove


def test_a_tree_deeper_than_any_path_is_removed_whatever_its_modes(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    (top / ".1").write_text("a name that is taken")
    descriptor = os.open(top, os.O_RDONLY)
    for number in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        os.symlink("/", "link", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        if number % 2:
            os.fchmod(descriptor, 0o555)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)

    remove(str(top))

    assert list(tmp_path.iterdir()) == []
    remove(str(top))
