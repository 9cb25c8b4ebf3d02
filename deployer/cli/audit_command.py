"""`deployer audit`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.environments import Workbench, packages_option
from deployer.cli.options import json_option, on_option, project
from deployer.errors import ExitCode, JsonValue, raise_all

if TYPE_CHECKING:
    from deployer.cli.project import Project
    from deployer.packages import PackageSet
    from deployer.packages.debian.updates import Update
    from deployer.packages.lockfile import LockedDebian


@click.command("audit")
@on_option
@packages_option
@json_option
@click.argument("selectors", metavar="[SELECTOR...]", nargs=-1)
@click.pass_context
def command(context: click.Context, selector: str | None, package_file: Path | None, selectors: tuple[str, ...]) -> None:
    """Tell which Debian packages in use have newer versions in the indexes of today, for each host.

    Every package that a host's system is made from, as deployer.lock pins it, is compared with the suites that it was locked from
    and with their security suites, whose indexes are fetched and verified as `deployer lock` does. Toolchains, which are used to
    build and do not run on the host, are told apart. Hosts are not contacted. With --packages, or where there is no inventory,
    the packages of packages.yaml are compared.

    Exit code 1 where a security suite has a newer version of anything.
    """
    what = project(context)
    display = Display(what.settings)
    chosen = ",".join([*([selector] if selector else []), *selectors])
    has_inventory = any(inventory.exists() for inventory in what.settings.inventories)
    if package_file is not None and chosen:
        raise click.UsageError("Give hosts or --packages: a file of packages names no hosts.")
    is_bare = package_file is not None or not (chosen or has_inventory)
    packages = Workbench(what.settings, package_file).packages if is_bare else what.packages
    sets = {"": _all_sets(packages)} if is_bare else _sets_of_hosts(what, chosen or None)

    async def work() -> int:
        from deployer.packages.debian.updates import find_updates
        from deployer.packages.mirrors import find_mirrors

        distinct = {name: locked for of_host in sets.values() for name, locked in of_host.locked.items()}
        found = await find_updates(distinct, find_mirrors()) if distinct else {}
        updates = {host: tuple(update for name in of_host.locked for update in found[name]) for host, of_host in sets.items()}
        if what.settings.as_json:
            for host, due in updates.items():
                display.data(_document(host, sets[host], due))
        else:
            _show(updates, sets, display)
            _advise(updates, sets, display, declared=packages.names(), is_bare=is_bare)
        return int(ExitCode.FAILED if any(update.is_security for due in updates.values() for update in due) else ExitCode.DONE)

    run(work)


@dataclass(frozen=True, slots=True)
class _Sets:
    """The packages of kind `debian` of a host, or of a file."""

    locked: Mapping[str, LockedDebian]
    running: Collection[str] | None
    """Those that are not only toolchains; None where no host says so."""

    def runs(self, name: str) -> bool | None:
        """Whether something of it may run on the host; None where there is no host."""
        return None if self.running is None else name in self.running


def _all_sets(packages: PackageSet) -> _Sets:
    """The sets of a file of packages. Raises all `LockOutdated` together."""
    from deployer.errors import DeployerError

    made, errors = [], []
    for request in packages.debian_requests():
        try:
            made.append(packages.made(request.name))
        except DeployerError as error:
            errors.append(error)
    raise_all(errors)
    return _Sets(packages.root_trees(made), None)


def _sets_of_hosts(what: Project, selector: str | None) -> dict[str, _Sets]:
    systems, trees = what.systems(what.select(selector)), what.packages.root_trees
    return {
        host: _Sets(trees([system.made]), trees([system.made], running=True).keys()) for host, system in sorted(systems.items())
    }


def _document(host: str, sets: _Sets, due: Sequence[Update]) -> dict[str, JsonValue]:
    updates: list[JsonValue] = [
        {
            "set": update.package_set,
            "package": update.package,
            "architecture": update.architecture,
            "locked": update.locked,
            "newest": update.newest,
            "suites": [*update.suites],
            "security": update.is_security,
            "runs": sets.runs(update.package_set),
        }
        for update in due
    ]
    toolchains: list[JsonValue] = [name for name in sets.locked if sets.runs(name) is False]
    return {"host": host or None, "sets": [*sets.locked], "toolchains": toolchains, "updates": updates}


def _show(updates: Mapping[str, Sequence[Update]], sets: Mapping[str, _Sets], display: Display) -> None:
    """A table for each group of hosts that need the same: of what runs on them, and of what only builds use."""
    from deployer.ui import table

    groups: dict[tuple[bool, tuple[Update, ...]], list[str]] = {}
    for host, due in updates.items():
        for is_toolchain in (False, True):
            if part := tuple(update for update in due if (sets[host].runs(update.package_set) is False) is is_toolchain):
                groups.setdefault((is_toolchain, part), []).append(host)
    for (is_toolchain, due), hosts in sorted(groups.items(), key=lambda group: group[0][0]):
        if hosts != [""]:
            display.text(f"{' '.join(hosts)}{', only to build' if is_toolchain else ''}:")
        rows = [(one.package_set, one.package, one.locked, one.newest, " ".join(one.suites)) for one in due]
        display.text(table(("SET", "PACKAGE", "LOCKED", "NEWEST", "SUITES"), rows, display.paint))
    if not groups:
        display.text("Nothing to update.")


def _advise(
    updates: Mapping[str, Sequence[Update]],
    sets: Mapping[str, _Sets],
    display: Display,
    *,
    declared: Collection[str],
    is_bare: bool,
) -> None:
    """What to do to have the updates: those of security suites where there are any, else all."""
    due = {update for of_host in updates.values() for update in of_host}
    security = {update for update in due if update.is_security}
    if not due:
        return
    used = {update for host, of_host in updates.items() for update in of_host if sets[host].runs(update.package_set) is not False}
    to_build = f", {len(due - used)} of what only builds use" if due - used else ""
    display.say(f"{len(due)} newer versions, {len(security)} of them in a security suite{to_build}.")
    wanted = security or due
    names = sorted({update.package_set for update in wanted})
    for name in names:
        if name not in declared:
            display.say(f"{name!r} comes with deployer: a package of this name and of kind 'debian' takes its place.")
            continue
        suites = sorted({suite for update in wanted if update.package_set == name for suite in update.suites})
        locked = next(of_host.locked[name] for of_host in sets.values() if name in of_host.locked)
        if missing := [suite for suite in suites if suite not in locked.suites]:
            display.say(
                f"Add {' and '.join(missing)} to the suites of {name!r}: without them a lock cannot have the newer versions."
            )
    if command := " ".join(f"--update {name}" for name in names if name in declared):
        display.say(f"To have them: deployer lock {command}{'' if is_bare else ', and deploy'}.")
