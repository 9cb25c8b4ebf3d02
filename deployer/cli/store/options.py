"""Arguments and options of the store's commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from deployer.cli.options import json_option, store_option

_F = TypeVar("_F", bound=Callable[..., Any])

paths_argument: Final = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
files_argument: Final = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


def store_options(function: _F) -> _F:
    """`--store-root` and `--json`."""
    return store_option(json_option(function))
