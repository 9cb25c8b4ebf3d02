"""Where wheels are looked up: the machine's own business before the repository's, as with mirrors of .debs.

The first of these that names an index wins: `DEPLOYER_PYTHON_INDEXES` (URLs separated by spaces), the file `python-indexes` in
`$XDG_CONFIG_HOME/deployer` or `/etc/deployer` (one URL a line), what the package names, what pip on this machine would ask.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deployer.packages.errors import PythonIndexFailed, PythonIndexUnknown
from deployer.packages.mirrors import settings_files, urls_of
from deployer.process import ProgramMissing, ProgramTimedOut, run

VARIABLE: Final = "DEPLOYER_PYTHON_INDEXES"
_FILE: Final = "python-indexes"
_PIPS: Final = ("pip", "pip3")
_DEFAULT: Final = re.compile(r"--index-url\s+<url>.*?\(default\s+(\S+?)\)", re.DOTALL)
_EXTRA: Final = re.compile(r"^[a-z:]+\.extra-index-url=(?P<value>'.*'|\".*\")$", re.MULTILINE)


async def find_indexes(
    named: Sequence[str], extra: Sequence[str] = (), environment: Mapping[str, str] | None = None, *, root: Path = Path("/")
) -> tuple[str, ...]:
    """The URLs of the indexes to ask, in this order, for a package that names these, and `extra` ones besides.

    Raises `PythonIndexUnknown`, and `PythonIndexFailed` for one that cannot be asked.
    """
    environment = os.environ if environment is None else environment
    files = settings_files(_FILE, environment, root)
    found = tuple(environment.get(VARIABLE, "").split()) or urls_of(files)
    if not found:
        found = tuple(dict.fromkeys([*(named or await _of_pip(environment)), *extra]))
    for url in found:
        if "@" in urlsplit(url).netloc:
            # It would have to be in the lock too, or the wheels could not be fetched.
            shown = url.partition("://")[0] + "://…@" + url.rpartition("@")[2]
            raise PythonIndexFailed(shown, "its URL has a password in it; write that into ~/.netrc")
    if not found:
        raise PythonIndexUnknown((VARIABLE, *map(str, files), "the package's 'index'", "pip"))
    return found


async def _of_pip(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What pip would ask, by its variables, its settings and its own default; nothing where there is no pip."""
    program = next((found for name in _PIPS if (found := shutil.which(name, path=environment.get("PATH")))), None)
    if program is None:
        return ()
    try:
        help_text = (await run([program, "download", "--help"], environment=environment, check=False)).text
        settings = (await run([program, "config", "list"], environment=environment, check=False)).text
    except (ProgramMissing, ProgramTimedOut):
        return ()
    default = _DEFAULT.search(help_text)
    extra = [url for match in _EXTRA.finditer(settings) for url in str(ast.literal_eval(match["value"])).split()]
    return tuple(dict.fromkeys([default[1], *extra] if default else extra))
