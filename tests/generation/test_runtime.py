"""What of us runs on hosts."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from deployer.copy.bootstrap import SCRIPT
from deployer.generation import runtime, runtime_image
from deployer.generation.runtime import BYTE_CODE, runtime_files
from deployer.host.real import real_machine
from deployer.store import Store


def test_the_image_is_the_same_each_time_it_is_made():
    first = runtime_image()
    runtime_image.cache_clear()

    assert runtime_image() == first


def test_it_holds_the_rooms_that_travel_and_no_others():
    with zipfile.ZipFile(io.BytesIO(runtime_image())) as archive:
        names = archive.namelist()

    rooms = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert rooms == {"formats", "store", "sandbox", "host"}
    assert {"__main__.py", "deployer/__init__.py", "deployer/errors.py"} <= set(names)


def test_its_path_is_computed_as_the_store_computes_it(tmp_path: Path):
    made = runtime("/nix/store")
    store = Store(tmp_path)

    made.add_to(store)

    assert store.is_valid(made.path)
    assert (store.physical(made.path) / "deployer/errors.py").read_bytes() == runtime_files()["deployer/errors.py"]


@pytest.mark.parametrize(("command", "cached"), [("serve", BYTE_CODE), ("recover", "")])
def test_what_recovers_a_host_trusts_no_byte_code_and_nothing_writes_any_beside_the_sources(tmp_path: Path, command, cached):
    (tmp_path / "__main__.py").write_bytes(runtime_files()["__main__.py"])
    (tmp_path / "deployer/host").mkdir(parents=True)
    for package in ("deployer", "deployer/host"):
        (tmp_path / package / "__init__.py").touch()
    told = "def main(arguments):\n    import sys\n    print(arguments, sys.pycache_prefix or '', sys.dont_write_bytecode)\n"
    (tmp_path / "deployer/host/main.py").write_text(told)
    cache = tmp_path / "cache"
    main = tmp_path / "__main__.py"
    main.write_text(main.read_text().replace(BYTE_CODE, str(cache)))
    interpreter = real_machine(Path("/")).interpreter
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    ended = subprocess.run(
        [*interpreter, tmp_path, command], capture_output=True, text=True, timeout=30, check=False, env=environment
    )

    assert ended.stdout == f"['{command}'] {cache if cached else ''} {not cached}\n"
    assert [found for found in tmp_path.rglob("*.pyc") if not found.is_relative_to(cache)] == []
    assert cache.exists() == bool(cached)


def test_every_connection_starts_it_as_the_host_itself_does():
    options = " ".join(real_machine(Path("/")).interpreter[1:])

    assert f'set -- {options} "$path" serve' in SCRIPT
