"""The zipapp that runs on hosts."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from deployer.generation import runtime, runtime_image
from deployer.generation.runtime import ARCHIVE
from deployer.store import Store


def test_the_image_is_the_same_each_time_it_is_made():
    first = runtime_image()
    runtime_image.cache_clear()

    assert runtime_image() == first


def test_it_holds_the_rooms_that_travel_and_no_others():
    with zipfile.ZipFile(io.BytesIO(runtime_image())) as archive:
        names = archive.namelist()

    rooms = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert rooms == {"formats", "store", "host"}
    assert {"__main__.py", "deployer/__init__.py", "deployer/errors.py"} <= set(names)


def test_its_path_is_computed_as_the_store_computes_it(tmp_path: Path):
    made = runtime("/nix/store")
    store = Store(tmp_path)

    made.add_to(store)

    assert store.is_valid(made.path)
    assert (store.physical(made.path) / ARCHIVE).read_bytes() == made.image
