"""What our store holds is what Nix would hold."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from deployer.store import PathOccupied, Store

pytestmark = pytest.mark.nix


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-store"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")
    state, environment = tmp_path / "state", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run(*command):
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "nix.conf").write_text("build-users-group =\nexperimental-features = nix-command\nsandbox = false\n")
    environment["NIX_CONF_DIR"] = str(tmp_path / "conf")
    environment["NIX_REMOTE"] = f"local?root={state}"
    return run


def test_nix_gives_the_same_path_hash_and_size_to_what_we_add(nix, store, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(b"content" * 5000)
    (source / "link").symlink_to("sub/file")

    ours = store.add_tree("source", source)
    theirs = nix("nix-store", "--add", str(source))

    assert str(ours) == theirs
    info = store.query(ours)
    assert nix("nix-store", "-q", "--hash", theirs) == info.nar_hash
    assert int(nix("nix-store", "-q", "--size", theirs)) == info.nar_size


def test_the_name_of_a_linked_file_is_that_of_nix(nix, store, tmp_path):
    source = tmp_path / "file"
    source.write_bytes(b"content" * 5000)
    nix("nix-store", "--add", str(source))
    nix("nix-store", "--optimise")

    store.add_tree("file", source)

    assert os.listdir(store.layout.links) == os.listdir(tmp_path / "state/nix/store/.links")


def test_what_nix_deems_valid_is_shared_or_mended_and_never_replaced_by_something_else(nix, nar, tmp_path):
    source = tmp_path / "file"
    source.write_bytes(b"content" * 500)
    path = nix("nix-store", "--add", str(source))
    store = Store(tmp_path / "state")
    place, other, same = store.physical(path), nar(b"other"), nar(source.read_bytes())

    with store.batch() as batch:
        batch.unpack(other.header(path), other.read)
        with pytest.raises(PathOccupied):
            batch.commit()
    assert place.read_bytes() == source.read_bytes()
    assert not store.is_valid(path)

    place.chmod(0o644)
    place.write_bytes(b"damaged")
    with store.batch() as batch:
        batch.unpack(same.header(path), same.read)
        batch.commit()
    assert store.is_valid(path)
    assert os.listdir(store.layout.aside) == []
    nix("nix-store", "--verify", "--check-contents")
