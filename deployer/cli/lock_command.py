"""`deployer lock`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.environments import Workbench, packages_option
from deployer.cli.options import json_option, project
from deployer.errors import ExitCode, JsonValue

if TYPE_CHECKING:
    from deployer.packages.lockfile import Lock


@click.command("lock")
@packages_option
@click.option("--update", "only", multiple=True, metavar="NAME", help="Only these packages; the others stay as they are pinned.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@json_option
@click.pass_context
def command(context: click.Context, package_file: Path | None, only: tuple[str, ...], dry_run: bool) -> None:
    """Pin what packages.yaml does not pin itself in deployer.lock beside it, and show what changes.

    Debian packages are solved by apt, wheels for requirements files are looked up in an index of Python packages, and attributes
    of Nix files are evaluated by this machine's Nix. Each is pinned by its hash.
    """
    what = project(context)
    display = Display(what.settings)
    packages = Workbench(what.settings, package_file).file
    if packages is None:
        display.say("The inventory has no packages.yaml: there is nothing to pin.")
        context.exit(int(ExitCode.DONE))

    async def work() -> int:
        from deployer.packages import lock_packages

        locking = await lock_packages(packages, only=only, write=not dry_run)
        lock = locking.lock
        for name in sorted({*lock.debian, *lock.python, *lock.nix, *(change.package for change in locking.changes)}):
            pinned, state = _pinned(lock, name)
            changes = [change for change in locking.changes if change.package == name]
            if what.settings.as_json:
                told: list[JsonValue] = [
                    {"input": change.input, "before": change.before, "after": change.after} for change in changes
                ]
                display.data({"package": name, "pinned": pinned, "changes": told, "dry_run": dry_run})
                continue
            display.text("\n".join([f"{name}: {state}{'' if changes else ', as before'}", *(f"  {item}" for item in changes)]))
        return int(ExitCode.DONE)

    run(work)


def _pinned(lock: Lock, name: str) -> tuple[int, str]:
    """How many inputs of a package a lock pins, and that in words."""
    if name in lock.debian:
        debs = len(lock.debian[name].debs)
        return debs, f"{debs} Debian packages pinned"
    if name in lock.python:
        wheels = len(lock.python[name].wheels)
        return wheels, f"{wheels} wheels pinned"
    if name in lock.nix:
        return 1, f"{lock.nix[name].path} pinned"
    return 0, "no longer pinned"
