"""What a plan needs to know of a host. Reads, and changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import Collection, Dict, Final, FrozenSet, List, Mapping, Optional, Tuple

from deployer.errors import DeployerError
from deployer.formats import STORE_DIR
from deployer.formats.manifest import DIRECTORY, FILE, LINK, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import Problem
from deployer.host.account_draft import NOWHERE_ELSE, Elsewhere
from deployer.host.account_files import FILES, Ids, UnknownOwner, read_accounts
from deployer.host.accounts_apply import missing_homes
from deployer.host.disk_walk import PathRefused
from deployer.host.etc import link_target
from deployer.host.fingerprints import ABSENT, fingerprint
from deployer.host.ledger import Ledger
from deployer.host.machine import Machine, UnitStatus
from deployer.host.name_service import accounts_elsewhere
from deployer.host.obstacles import file_obstacles, leftover_of, obstacles
from deployer.host.paths import ETC, PROFILE
from deployer.host.switching import tmpfiles_paths
from deployer.host.unit_changes import look_at_units, unit_repairs
from deployer.host.user_units import look_at_user_units

_STORE_ROOTS: Final = "/nix/var/deployer/gcroots"
UNKNOWN: Final = "?"
"""A fingerprint that nothing has."""


@dataclass(frozen=True)
class Observed:
    """What matters of a host for a plan."""

    etc: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of an entry to the fingerprint of what stands there."""
    wishes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of a declared entry to the fingerprint that it is to have."""
    owners: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of a declared entry to the user or group that it needs and the host lacks."""
    obstacles: Mapping[str, Problem] = dataclasses.field(default_factory=dict)
    """Path of an entry to why nothing can be done to it, where something is to be done."""
    units: Mapping[str, UnitStatus] = dataclasses.field(default_factory=dict)
    """How systemd sees each unit, and each running instance of a template."""
    user_units: Mapping[str, Mapping[str, UnitStatus]] = dataclasses.field(default_factory=dict)
    """How the managers of users see theirs, by user."""
    system: str = ""
    """Store path of the current system."""
    foreign: FrozenSet[str] = frozenset()
    """Files of somebody's that add to units of ours, or mask them."""
    accounts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Account files' texts by path."""
    elsewhere: Elsewhere = NOWHERE_ELSE
    """Accounts that the host knows and these files do not have."""
    account_obstacles: Tuple[Problem, ...] = ()
    """Why account files cannot be written, where they are to be."""
    lacking_shells: FrozenSet[str] = frozenset()
    """Login shells of declared users that are not there."""
    sysctl: Mapping[str, Optional[str]] = dataclasses.field(default_factory=dict)
    """Key to value; None: the kernel has no such key."""
    sealed: FrozenSet[str] = frozenset()
    """Keys that cannot be written."""
    homes: Tuple[Tuple[str, str], ...] = ()
    """Home directories that are missing, with their users."""
    lacking: FrozenSet[str] = frozenset()
    """What the manifest requires of the host and the host does not have."""
    architecture: str = ""
    """What programs the host runs, as uname(2) names it."""
    missing: Tuple[str, ...] = ()
    """Paths that tmpfiles rules would make."""
    problems: Tuple[Problem, ...] = ()
    """What was found in the way while looking."""


def observe_for_plan(machine: Machine, previous: Manifest, manifest: Manifest, ledger: Ledger) -> Observed:
    """Look at everything that either manifest, or the ledger, is concerned with. Changes nothing."""
    declared = {entry.path: entry for entry in manifest.etc}
    ids = Ids(machine.disk)
    problems: List[Problem] = []
    etc: Dict[str, str] = {}
    for path in sorted({*declared, *ledger.etc}):
        if _makes_way(machine, path, declared, ledger):
            etc[path] = ABSENT
            continue
        if (
            f"{ETC}/{path}" in ledger.directories
            and path not in ledger.etc
            and not leftover_of(machine.disk, path, declared, ledger)
        ):
            etc[path] = ABSENT
            continue
        in_the_way = _parents(machine, path, declared)
        try:
            etc[path] = UNKNOWN if in_the_way else fingerprint(machine.disk, f"{ETC}/{path}")
        except DeployerError as error:
            in_the_way = [Problem(f"{ETC}/{path}", error.message, error.remedy)]
            etc[path] = UNKNOWN
        problems.extend(in_the_way)
    problems.extend(_store_problems(machine))
    keys = sorted({*manifest.sysctl, *ledger.sysctl})
    concerns_accounts = bool(manifest.users or manifest.groups or ledger.users or ledger.groups or ledger.memberships)
    accounts = _account_texts(machine, problems) if concerns_accounts else {}
    stored = _stored(machine, manifest) if manifest == previous else {}
    units, system = look_at_units(machine.systemd, (*previous.units, *manifest.units)), machine.profile.current().system
    foreign = unit_repairs(manifest, units, system)[1] if manifest == previous else {}
    return Observed(
        etc=etc,
        wishes={path: _wish(entry, ids, stored.get(path, "")) for path, entry in declared.items()},
        owners={path: lacking for path, entry in declared.items() for lacking in [_lacking(entry, ids)] if lacking},
        obstacles=obstacles(machine.disk, declared, ledger),
        units=units,
        user_units=look_at_user_units(machine.systemd, previous, manifest),
        system=system,
        foreign=frozenset(path for path in foreign if _may_go(machine, path, ledger)),
        accounts=accounts,
        elsewhere=accounts_elsewhere(machine.disk, machine.system, accounts, manifest.users, manifest.groups, ledger)
        if accounts
        else NOWHERE_ELSE,
        account_obstacles=file_obstacles(machine.disk, FILES) if accounts else (),
        lacking_shells=frozenset(user.shell for user in manifest.users if _lacks_shell(machine, user.shell)),
        sysctl={key: machine.system.sysctl(key) for key in keys},
        sealed=frozenset(key for key in keys if not machine.system.may_set_sysctl(key)),
        homes=tuple(missing_homes(machine.disk, manifest.users, problems)),
        lacking=_lacking_requirements(machine, manifest),
        architecture=machine.system.architecture(),
        missing=tuple(path for path in tmpfiles_paths(manifest.tmpfiles) if not machine.disk.exists(path)),
        problems=tuple(problems),
    )


def _account_texts(machine: Machine, problems: List[Problem]) -> Mapping[str, str]:
    try:
        return read_accounts(machine.disk)
    except PathRefused as error:
        problems.append(Problem(error.path, error.message, "Make it a file of its own."))
        return {}


def _lacking_requirements(machine: Machine, manifest: Manifest) -> FrozenSet[str]:
    paths = {one for one in manifest.requires if one.startswith("/")}
    accounts = sorted(set(manifest.requires) - paths)
    lacking = {path for path in paths if not machine.disk.exists(path)}
    for database in ("passwd", "group"):
        known = machine.system.accounts(database, accounts) if accounts else {}
        accounts = [name for name in accounts if name not in known]
    return frozenset(lacking.union(accounts))


def _lacks_shell(machine: Machine, shell: str) -> bool:
    """What a package or an entry brings may come with the deployment itself; and who may not log in needs no shell."""
    is_brought = shell.startswith((STORE_DIR + "/", PROFILE + "/", ETC + "/"))
    return not is_brought and not shell.endswith(("/nologin", "/false")) and not machine.disk.exists(shell)


def _wish(entry: EtcEntry, ids: Ids, stored: str) -> str:
    if entry.kind in (LINK, SYMLINK):
        return f"link {link_target(entry.path) if entry.kind == LINK else entry.target}"
    digest = entry.sha256 or stored
    try:
        owner = f"{int(entry.mode, 8):o} {ids.uid(entry.owner)} {ids.gid(entry.group)}"
    except UnknownOwner:
        # The activation makes the account first; nothing that stands there now can be right.
        return UNKNOWN
    if entry.kind == DIRECTORY:
        return f"directory {owner}"
    return f"file {digest} {owner}" if digest else UNKNOWN


def _stored(machine: Machine, manifest: Manifest) -> Dict[str, str]:
    """Hashes of contents that a package brings: known where the system is current, so in a repair only. A plan must not
    depend on what has been copied already."""
    above = machine.disk.root / f"{machine.profile.current().system}/etc".lstrip("/")
    found: Dict[str, str] = {}
    for entry in manifest.etc:
        if entry.kind == FILE and not entry.sha256:
            with contextlib.suppress(OSError):
                found[entry.path] = hashlib.sha256((above / entry.path).read_bytes()).hexdigest()
    return found


def _lacking(entry: EtcEntry, ids: Ids) -> str:
    """`user web`, where an entry belongs to somebody whom the host does not have."""
    if entry.kind not in (FILE, DIRECTORY):
        return ""
    try:
        ids.uid(entry.owner)
        ids.gid(entry.group)
    except UnknownOwner as error:
        return f"{error.kind} {error.name}"
    return ""


def _store_problems(machine: Machine) -> List[Problem]:
    """Whoever can write above the store can put anything in its place."""
    try:
        machine.disk.entry(_STORE_ROOTS)
        store = os.lstat(str(machine.disk.root) + STORE_DIR)
        reason = f"{STORE_DIR} is writable by everybody" if store.st_mode & stat.S_IWOTH else ""
    except PathRefused as error:
        reason = error.reason
    except FileNotFoundError:
        reason = ""
    remedy = "Give it to root, and make it writable by root alone: `chown root:root`, `chmod go-w`."
    return [Problem("/nix", f"the store is not safe there: {reason}", remedy)] if reason else []


def _may_go(machine: Machine, path: str, ledger: Ledger) -> bool:
    """Whether somebody's drop-in or mask stands there; of units themselves only a mask may go."""
    if path.startswith(f"{ETC}/") and path[len(ETC) + 1 :] in ledger.etc:
        return False
    with contextlib.suppress(DeployerError):
        entry = machine.disk.entry(path)
        is_mask = entry is not None and (entry.target == os.devnull or (entry.kind == FILE and entry.size == 0))
        return entry is not None and (is_mask or path.rpartition("/")[0].endswith(".d"))
    return False


def _makes_way(machine: Machine, path: str, declared: Collection[str], ledger: Ledger) -> bool:
    """Whether something that goes first stands where a directory for this entry is to be: of ours, or of the host's where the
    directory is declared itself, and so replaced or refused itself."""
    parts = path.split("/")
    for above in ("/".join(parts[:depth]) for depth in range(1, len(parts))):
        owned = ledger.etc.get(above)
        if above in declared:
            with contextlib.suppress(DeployerError):
                stands = machine.disk.entry(f"{ETC}/{above}")
                if stands is not None and stands.kind != "directory":
                    return True
        if owned is not None and above not in declared and owned.kind != DIRECTORY and not owned.adopted:
            return owned.original is None
    return False


def _parents(machine: Machine, path: str, declared: Collection[str]) -> List[Problem]:
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if above in declared:
            continue
        try:
            entry = machine.disk.entry(f"{ETC}/{above}")
        except DeployerError as error:
            return [Problem(f"{ETC}/{path}", error.message, error.remedy)]
        if entry is None:
            return []
        if entry.kind != "directory":
            message = f"{ETC}/{above} is a {entry.kind}, and {ETC}/{path} is to stand below it"
            return [Problem(f"{ETC}/{path}", message, "Declare the path that is meant, or make it a directory.")]
    return []
