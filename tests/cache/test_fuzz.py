"""Caches that send anything at all: what they say is refused or right, and nothing of ours falls over."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from deployer.cache import push
from deployer.errors import DeployerError
from deployer.store import Store
from tests.cache.world import KEY, described, reader

INPUTS = int(os.environ.get("DEPLOYER_FUZZ", "150"))
pieces = some.one_of(
    some.binary(max_size=40),
    some.sampled_from(
        [b": ", b"\n", b"StorePath", b"URL: ../../etc/passwd", b"NarSize: 9999999999999", b"Compression: xz", b"\xff"]
    ),
)


@some.composite
def damage(draw):
    """Places, how much goes there, and what comes."""
    return draw(some.lists(some.tuples(some.floats(0, 1), some.integers(0, 60), pieces), min_size=1, max_size=4))


def damaged(data, places):
    for where, gone, comes in places:
        at = int(where * len(data))
        data = data[:at] + comes + data[at + gone :]
    return data


@pytest.mark.parametrize("compression", ["none", "xz", "zstd"])
@pytest.mark.parametrize("kind", ["narinfo", "archive", "settings"])
@settings(max_examples=INPUTS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=damage())
def test_what_a_cache_sends_is_right_or_refused(store, top, low, url, tmp_path, kind, compression, places):
    if not (tmp_path / "cache").exists():
        push(store, [top], url, key=KEY, compression=compression)
    archive = tmp_path / "cache" / described(tmp_path, low).read_text().splitlines()[1].removeprefix("URL: ")
    file = {"narinfo": described(tmp_path, low), "archive": archive, "settings": tmp_path / "cache" / "nix-cache-info"}[kind]
    whole = file.read_bytes()
    file.write_bytes(damaged(whole, places))

    try:
        with tempfile.TemporaryDirectory(dir=tmp_path) as directory:
            other = Store(Path(directory))
            try:
                asyncio.run(reader(url).substitute(other, top))
            except DeployerError:
                assert other.database.all_paths() == ()
            else:
                assert [other.query(path).nar_hash for path in (low, top)] == [store.query(path).nar_hash for path in (low, top)]
            assert os.listdir(other.layout.aside) == []
            for path in other.database.all_paths():
                os.chmod(other.physical(path), 0o600)
    finally:
        file.write_bytes(whole)
