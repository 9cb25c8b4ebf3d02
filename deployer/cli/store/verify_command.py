"""`deployer store verify`."""

from __future__ import annotations

import click

from deployer.cli.building import build_settings
from deployer.cli.options import build_options
from deployer.cli.settings import Settings
from deployer.cli.store.naming import open_store
from deployer.cli.store.options import store_options
from deployer.cli.store.printing import Printer
from deployer.cli.store.repairing import Repairer
from deployer.errors import DeployerError, ExitCode, JsonValue
from deployer.store import Damage, verify


@click.command("verify")
@click.option("--check-contents", is_flag=True, help="Hash every path, and not only look whether it is there.")
@click.option("--repair", is_flag=True, help="Bring damaged paths back, from a binary cache or by building them again.")
@build_options
@store_options
@click.pass_context
def command(context: click.Context, check_contents: bool, repair: bool) -> None:
    """Check that the store holds what is registered. Exit code 1 where it does not, and was not repaired."""
    settings: Settings = context.obj
    store = open_store(context, existing=True)
    printer = Printer(context)
    printer.say("checking path existence...")
    if check_contents:
        printer.say("checking store hashes...")

    def tell(path: str, error: DeployerError) -> None:
        printer.say(f"'{path}' could not be brought back: {error.message}")

    repairer = Repairer(store, lambda: build_settings(settings.build), tell) if repair else None
    damages = verify(store, contents=check_contents, repair=repairer)
    for damage in damages:
        printer.say(_sentence(damage))
    printer.answer([], {"damaged": [_document(damage) for damage in damages]})
    if any(not (damage.repaired or damage.dropped) for damage in damages):
        printer.say("warning: not all store errors were fixed")
        if not repair:
            printer.say("`--repair` brings paths back, from caches (--substituter) or by building them again")
        context.exit(int(ExitCode.FAILED))


def _document(damage: Damage) -> JsonValue:
    return {
        "path": damage.path,
        "registered": damage.registered,
        "found": damage.found or None,
        "repaired": damage.repaired,
        "dropped": damage.dropped,
    }


def _sentence(damage: Damage) -> str:
    """As Nix says it."""
    if damage.dropped:
        return f"path '{damage.path}' disappeared, removing from database..."
    if not damage.found:
        said = f"path '{damage.path}' disappeared, but it still has valid referrers!"
    else:
        said = f"path '{damage.path}' was modified! expected hash '{damage.registered}', got '{damage.found}'"
    return f"{said}\nrepaired '{damage.path}'" if damage.repaired else said
