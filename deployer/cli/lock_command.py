"""`deployer lock`."""

from __future__ import annotations

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.errors import ExitCode, JsonValue


@click.command("lock")
@click.option("--update", "only", multiple=True, metavar="NAME", help="Only these packages; the others stay as they are pinned.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@json_option
@click.pass_context
def command(context: click.Context, only: tuple[str, ...], dry_run: bool) -> None:
    """Solve the Debian packages of packages.yaml, pin each by hash in deployer.lock beside it, and show what changes."""
    what = project(context)
    display = Display(what.settings)
    packages = what.fleet.packages
    if packages is None:
        display.say("The inventory has no packages.yaml: there is nothing to pin.")
        context.exit(int(ExitCode.DONE))

    async def work() -> int:
        from deployer.packages import lock_packages

        locking = await lock_packages(packages, only=only, write=not dry_run)
        for name in sorted({*locking.lock.debian, *(change.package for change in locking.changes)}):
            entry = locking.lock.debian.get(name)
            changes = [change for change in locking.changes if change.package == name]
            if what.settings.as_json:
                told: list[JsonValue] = [
                    {"input": change.input, "before": change.before, "after": change.after} for change in changes
                ]
                pinned = len(entry.debs) if entry else 0
                display.data({"package": name, "pinned": pinned, "changes": told, "dry_run": dry_run})
                continue
            state = f"{len(entry.debs)} Debian packages pinned" if entry else "no longer pinned"
            display.text("\n".join([f"{name}: {state}{'' if changes else ', as before'}", *(f"  {item}" for item in changes)]))
        return int(ExitCode.DONE)

    run(work)
