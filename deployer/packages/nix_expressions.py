"""Attributes of Nix expressions, through the machine's own Nix: what they come to, and their derivations.

Nix evaluates here and only here, and a lock pins what came of it: nothing that reads the lock needs Nix.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from deployer.formats import StorePath
from deployer.formats.storepath import StorePathRefused
from deployer.packages.errors import LockOutdated, NixMissing, PackageInvalid
from deployer.packages.lockfile import LockedAttribute
from deployer.packages.recipes import NixRecipe
from deployer.process import Completed, ProgramMissing, run

_PROGRAM: Final = "nix-instantiate"
_TIMEOUT: Final = 1800.0
"""Seconds: an expression may import what is built first."""
_ASKED: Final = ("drvPath", "outPath", "outputName", "system")
"""What every derivation has (Nix manual, "Derivations")."""
_NO_DERIVATION: Final = re.compile(r"attribute '(?:drvPath|outPath)' in selection path|should be a set but is")


async def evaluate(recipe: NixRecipe, lock_file: Path, store_dir: str) -> LockedAttribute:
    """What an attribute comes to today. Raises `NixMissing`, `PackageInvalid`, `ProgramTimedOut`."""
    assert recipe.attribute is not None
    asked = [word for name in _ASKED for word in ("-A", f"{recipe.attribute}.{name}")]
    done = await _nix(recipe, "--eval", "--read-write-mode", "--json", *asked)
    if done.status:
        raise _refused(recipe, done)
    values = [value for value in _documents(done.text) if isinstance(value, str)]
    if len(values) != len(_ASKED):
        raise PackageInvalid(recipe.name, f"{recipe.attribute} of {recipe.shown_file} is no derivation", recipe.place)
    derivation, path, output, system = values
    for one in (derivation, path):
        try:
            StorePath.parse(one, store_dir)
        except StorePathRefused:
            reason = f"{recipe.attribute} of {recipe.shown_file} comes to {one}, which is no path in {store_dir}"
            hint = "Build it with Nix, and give its 'path' instead: Nix knows that of a content-addressed derivation only then."
            raise PackageInvalid(recipe.name, reason, recipe.place, hint) from None
    return LockedAttribute(recipe.locked_file(lock_file), recipe.attribute, recipe.arguments, path, derivation, output, system)


async def instantiate(recipe: NixRecipe, locked: LockedAttribute, root: Path, lock_file: Path) -> None:
    """Have the derivation that a lock pins in Nix's store, with a link at `root` that keeps it.

    Raises `NixMissing`, `PackageInvalid`, `ProgramTimedOut`, and `LockOutdated` where the expression comes to another one now.
    """
    done = await _nix(recipe, "-A", recipe.attribute, "--add-root", str(root), "--indirect")
    if done.status:
        raise _refused(recipe, done)
    if os.readlink(root) != locked.derivation:
        raise LockOutdated(recipe.name, str(lock_file), f"pins what {recipe.shown_file} no longer comes to", recipe.place)


async def _nix(recipe: NixRecipe, *options: str) -> Completed:
    try:
        # What it comes to is not to hang on where we stand.
        return await run(_command(recipe, options), timeout=_TIMEOUT, directory=Path(tempfile.gettempdir()), check=False)
    except ProgramMissing:
        raise NixMissing(recipe.name, recipe.shown_file, recipe.place) from None


def _command(recipe: NixRecipe, options: Iterable[str]) -> list[str]:
    file = recipe.file if recipe.file.startswith("<") else os.path.abspath(recipe.file)
    arguments = [word for name, value in sorted(recipe.arguments.items()) for word in ("--argstr", name, value)]
    return [_PROGRAM, file, *options, *arguments]


def _refused(recipe: NixRecipe, done: Completed) -> PackageInvalid:
    what = f"{recipe.attribute} of {recipe.shown_file}"
    lines = done.stderr.decode(errors="replace").splitlines()
    at = next((number for number, line in enumerate(lines) if line.lstrip().startswith("error:")), 0)
    said = [line for line in lines[at:] if line.strip()]
    if _NO_DERIVATION.search(" ".join(said)):
        hint = "Name an attribute that is a derivation, as 'nix-build -A' takes it."
        return PackageInvalid(recipe.name, f"{what} is no derivation", recipe.place, hint)
    words = "\n".join([f"Nix can't evaluate {what}", *(f"    {line}" for line in said)])
    alone = shlex.join(_command(recipe, ("-A", recipe.attribute)))
    return PackageInvalid(recipe.name, words, recipe.place, f"Try it alone: {alone}")


def _documents(text: str) -> Iterator[object]:
    """JSON values one after another, which Nix does not separate."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at += len(text[at:]) - len(text[at:].lstrip())
