"""Builds' logs, where the builder keeps them: `drvs/XX/REST`, plain while the build runs and with `.bz2` afterwards."""

from __future__ import annotations

import bz2
import contextlib

from deployer.formats import StorePath
from deployer.store import Store


def read_log(store: Store, derivation: StorePath) -> bytes | None:
    """The log of a derivation's build in a store, plain; None where there is none."""
    name = derivation.base_name
    file = store.log_directory / "drvs" / name[:2] / name[2:]
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes()
    with contextlib.suppress(FileNotFoundError):
        return bz2.decompress(file.with_name(f"{file.name}.bz2").read_bytes())
    return None
