"""`deployer lock`."""

from __future__ import annotations

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.errors import ExitCode


@click.command("lock")
@click.option("--update", "only", multiple=True, metavar="NAME", help="Only these packages; the others stay as they are pinned.")
@json_option
@click.pass_context
def command(context: click.Context, only: tuple[str, ...]) -> None:
    """Solve the Debian packages of packages.yaml, and pin each by hash in deployer.lock beside it."""
    what = project(context)
    display = Display(what.settings)
    packages = what.fleet.packages
    if packages is None:
        display.say("The inventory has no packages.yaml: there is nothing to pin.")
        context.exit(int(ExitCode.DONE))

    async def work() -> int:
        from deployer.packages import lock_packages

        lock = await lock_packages(packages, only=only)
        for name, entry in sorted(lock.debian.items()):
            if what.settings.as_json:
                display.data({"package": name, "pinned": len(entry.debs)})
            else:
                display.text(f"{name}: {len(entry.debs)} Debian packages pinned")
        return int(ExitCode.DONE)

    run(work)
