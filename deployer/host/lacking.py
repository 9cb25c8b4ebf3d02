"""What a generation needs of a host, and the host lacks: it is refused before anything has changed. Pure."""

from __future__ import annotations

from typing import Collection, Final, List

from deployer.formats.manifest import Manifest
from deployer.formats.messages import Problem
from deployer.host.accounts import AccountEdit
from deployer.host.machine import UnitStatus
from deployer.host.paths import ETC
from deployer.host.plan_inputs import Observed
from deployer.host.unit_names import is_template, template_of

UNITS: Final = "systemd/system"
"""Below `/etc`."""


def lacking_requirements(manifest: Manifest, observed: Observed) -> List[Problem]:
    """What a service takes from the host must be there."""
    return [
        Problem(
            target if target.startswith("/") else f"account {target}",
            f"this host has none, and {manifest.requires[target]} needs it",
            "Install what brings it on the host, or take the program from a package: `package: ${pkgs.NAME}`.",
        )
        for target in sorted(observed.lacking)
    ]


def other_architectures(manifest: Manifest, observed: Observed) -> List[Problem]:
    """Programs for other processors than the host's would not start."""
    return [
        Problem(
            f"package {package}",
            f"its programs are for {architecture}, and this host is {observed.architecture}",
            "Give hosts of this architecture another configuration, or lock the package for it: `architecture:`.",
        )
        for architecture, package in sorted(manifest.architectures.items())
        if architecture != observed.architecture
    ]


def lacking_shells(manifest: Manifest, observed: Observed, edit: AccountEdit) -> List[Problem]:
    """Nobody could log in with a shell that is not there; a person of ours would be locked out."""
    changed = {action.target for action in edit.actions if action.kind == "user"}
    return [
        Problem(
            f"user {user.name}",
            f"its shell {user.shell} is not on this host",
            "Install it there first, or take one from a package: `${pkgs.NAME}/bin/NAME`.",
        )
        for user in manifest.users
        if user.shell in observed.lacking_shells and user.name in changed
    ]


def lacking_owners(manifest: Manifest, observed: Observed, accounts: AccountEdit) -> List[Problem]:
    """Entries belong to accounts that are there, or are made first."""
    made = {f"{action.kind} {action.target}" for action in accounts.actions}
    declared = {f"user {user.name}" for user in manifest.users} | {f"group {group.name}" for group in manifest.groups}
    return [
        Problem(f"{ETC}/{path}", f"it is to belong to the {owner}, and this host has none of that name", f"Declare the {owner}.")
        for path, owner in sorted(observed.owners.items())
        if owner not in made | declared
    ]


def lacking_units(previous: Manifest, manifest: Manifest, observed: Observed, foreign: Collection[str]) -> List[Problem]:
    """Units that are extended must be there; those that are to run must not be masked by the host, unless the mask goes."""
    unmasked = {path.rpartition("/")[2] for path in foreign}
    before = {unit.name: unit for unit in previous.units}
    files = {entry.path for entry in manifest.etc}
    found: List[Problem] = []
    for unit in manifest.units:
        status, old = observed.units.get(unit.name, UnitStatus()), before.get(unit.name)
        if unit.text or unit.masked or is_template(unit.name) or f"{UNITS}/{unit.name}" in files:
            continue
        if status.load == "masked" and unit.name in unmasked:
            continue
        if status.load == "masked" and not (old is not None and old.masked):
            remedy = f"Run `systemctl unmask {unit.name}` there, or do not extend it."
            found.append(Problem(f"unit {unit.name}", "this host masks it", remedy))
        elif not status.shipped and (status.load == "not-found" or (old is not None and bool(old.text))):
            message = "this host has no such unit to extend"
            if template_of(unit.name) is None or f"{UNITS}/{template_of(unit.name)}" not in files:
                found.append(Problem(f"unit {unit.name}", message, "Give it a text, or install the package that brings it."))
    return found
