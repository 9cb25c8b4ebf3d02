"""`deployer build`."""

from __future__ import annotations

import click

from deployer.cli.deployment import Intention, build, run
from deployer.cli.display import Display
from deployer.cli.options import build_options, dry_run_option, json_option, on_option, project
from deployer.cli.targets import targets_of_configurations
from deployer.rollout import Strategy


@click.command("build")
@on_option
@dry_run_option
@build_options
@json_option
@click.pass_context
def command(context: click.Context, selector: str | None, dry_run: bool) -> None:
    """Build the hosts' systems into the controller's store, and print where they are."""
    what = project(context)
    hosts = what.select(selector)
    systems = what.systems(hosts)
    display = Display(what.settings)

    async def work() -> int:
        if not dry_run:
            intention = Intention("build", hosts, targets_of_configurations(what, hosts), Strategy(), {})
            await build(what, intention, [host.name for host in hosts], display)
            display.close()
        for name, system in systems.items():
            path = str(what.store.physical(system.output))
            if what.settings.as_json:
                valid = what.store.is_valid(system.output)
                display.data({"host": name, "system": str(system.output), "path": path, "built": valid})
            else:
                display.text(f"{name}\t{system.output if dry_run else path}")
        return 0

    run(work)
