"""What tests of caches are made of."""

from __future__ import annotations

import dataclasses
import hashlib

from deployer.cache import SecretKey, open_cache
from deployer.formats.narinfo import NarInfo
from deployer.formats.storepath import make_output_path

KEY = SecretKey.generate("test-1")
BIG = b"content " * 40000


def built(store, name, content, references=(), deriver=None):
    """A path that a build made: only a signature says that it is right."""
    path = make_output_path("out", hashlib.sha256(name.encode()).digest(), name)
    store.layout.make()
    made = store.temporary_directory / f"made-{name}"
    made.write_bytes(content + b"".join(str(reference).encode() for reference in references))
    store.register_output(path, made, candidates=references, deriver=deriver)
    return path


def reader(url, **options):
    return open_cache(url, **{"trusted_keys": [KEY.public], **options})


def described(tmp_path, path):
    return tmp_path / "cache" / f"{path.hash_part}.narinfo"


def redescribe(tmp_path, path, **changes):
    file = described(tmp_path, path)
    file.write_text(dataclasses.replace(NarInfo.parse(file.read_text(), "test"), **changes).serialize())
