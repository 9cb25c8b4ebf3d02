"""Where modules come from: the library beside the package, and directories that the caller names."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from deployer.config.errors import ModuleBroken
from deployer.config.failures import place_of_failure, reason_of
from deployer.config.inputs import Inputs, recorded
from deployer.config.library_place import library_directory
from deployer.config.module import Module
from deployer.errors import Place


@cache
def load_modules(directory: Path) -> tuple[Module, ...]:
    """Every module of a directory, in order of file name. Raises `ModuleBroken`."""
    return tuple(module for path in sorted(directory.glob("*.py")) if (module := _load(path)) is not None)


def all_modules(directories: Sequence[Path] = ()) -> tuple[Module, ...]:
    """The library, and the modules of more directories."""
    return tuple(module for directory in (library_directory(), *directories) for module in load_modules(directory))


def load_module(path: Path) -> Module:
    """The module of one file. Raises `ModuleBroken`."""
    return _loaded(path)[0]


def inputs_of_module(path: Path) -> Inputs:
    """What was looked at when a module was loaded."""
    return _loaded(path)[1]


@cache
def _loaded(path: Path) -> tuple[Module, Inputs]:
    inputs = Inputs({str(path)})
    with recorded(inputs):
        module = _load(path)
    if module is None:
        raise ModuleBroken(path.stem, "a file whose name begins with _ is no module", Place(str(path)))
    return module, inputs


def _load(path: Path) -> Module | None:
    own = "" if path.parent == library_directory() else f"_{zlib.crc32(str(path).encode()):08x}"
    name = f"deployer_modules.{path.stem}{own}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or path.stem.startswith("_"):
        return None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        place = place_of_failure(error, str(path), Place(str(path)))
        raise ModuleBroken(path.stem, reason_of(error), place) from error
    module = getattr(loaded, "module", None)
    if not isinstance(module, Module):
        raise ModuleBroken(path.stem, "it has no `module = Module(…)`", Place(str(path)))
    return module
