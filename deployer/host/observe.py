"""Drift: where the host is not as its current generation declares. Reads, and changes nothing."""

from __future__ import annotations

import fnmatch
import hashlib
from typing import Dict, Final, Iterator, List, Mapping, Sequence, Tuple

from deployer.errors import DeployerError
from deployer.formats.manifest import DIRECTORY, FILE, SYMLINK, EtcEntry, Manifest
from deployer.formats.messages import DriftItem
from deployer.host import disk as d
from deployer.host.account_files import Ids, read_accounts
from deployer.host.etc import link_target
from deployer.host.ledger import Ledger
from deployer.host.machine import Machine
from deployer.host.process import run

NOTHING: Final = "nothing"
_SHOW: Final = 30.0
_PROPERTIES: Final = "Id,LoadState,ActiveState,SubState,NeedDaemonReload,FragmentPath,Type,RemainAfterExit,Result"
_ABBREVIATED: Final = 12


def observe(machine: Machine, manifest: Manifest, ledger: Ledger, ignore: Sequence[str]) -> Tuple[DriftItem, ...]:
    """Every difference whose target, or `KIND:TARGET`, no glob of `ignore` matches."""
    found: List[DriftItem] = []
    found.extend(_etc(machine, manifest, ledger))
    found.extend(_units(machine, manifest))
    found.extend(_accounts(machine, manifest))
    found.extend(_sysctl(machine, manifest))
    return tuple(item for item in found if not _ignored(item, ignore))


def etc_difference(machine: Machine, entry: EtcEntry, system: str, ids: Ids) -> Tuple[str, str]:
    """What an entry declares and what stands there, in words; both empty where they agree."""
    path = f"/etc/{entry.path}"
    stands = machine.disk.entry(path)
    if entry.kind in (FILE, DIRECTORY):
        kind = d.FILE if entry.kind == FILE else d.DIRECTORY
        if stands is None or stands.kind != kind:
            return f"a {kind}", NOTHING if stands is None else f"a {stands.kind}"
        declared = (int(entry.mode, 8), ids.uid(entry.owner), ids.gid(entry.group))
        observed = (stands.metadata.mode, stands.metadata.uid, stands.metadata.gid)
        if declared != observed:
            return _owner(*declared), _owner(*observed)
        if entry.kind == FILE:
            stored = machine.disk.root / f"{system}/etc/{entry.path}".lstrip("/")
            wanted = entry.sha256 or hashlib.sha256(stored.read_bytes()).hexdigest()
            content = hashlib.sha256(machine.disk.read(path)).hexdigest()
            if wanted != content:
                return f"content {wanted[:_ABBREVIATED]}", f"content {content[:_ABBREVIATED]}"
        return "", ""
    target = entry.target if entry.kind == SYMLINK else link_target(entry.path)
    if stands is None or stands.kind != d.LINK:
        return f"a link to {target}", NOTHING if stands is None else f"a {stands.kind}"
    return ("", "") if stands.target == target else (f"a link to {target}", f"a link to {stands.target}")


def _etc(machine: Machine, manifest: Manifest, ledger: Ledger) -> Iterator[DriftItem]:
    system, ids = machine.profile.current().system, Ids(machine.disk)
    for entry in manifest.etc:
        owned = ledger.etc.get(entry.path)
        if owned is not None and owned.adopted:
            continue
        try:
            declared, observed = etc_difference(machine, entry, system, ids)
        except DeployerError as error:
            declared, observed = "readable", error.message
        if declared:
            yield DriftItem("etc", f"/etc/{entry.path}", declared, observed)


def _units(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    names = [unit.name for unit in manifest.units if not unit.name.endswith("@.service")]
    shown = _show(names) if names else {}
    for unit in manifest.units:
        seen = shown.get(unit.name, {})
        if not seen:
            continue
        load, active, sub = seen.get("LoadState", ""), seen.get("ActiveState", ""), seen.get("SubState", "")
        if unit.masked != (load == "masked"):
            yield DriftItem("unit", unit.name, "masked" if unit.masked else "not masked", load)
        elif unit.masked:
            continue
        elif load != "loaded":
            yield DriftItem("unit", unit.name, "loaded", load)
        elif seen.get("NeedDaemonReload") == "yes":
            yield DriftItem("unit", unit.name, "loaded as it stands on disk", "changed on disk since it was loaded")
        elif unit.text and seen.get("FragmentPath") not in ("", f"/etc/systemd/system/{unit.name}"):
            yield DriftItem("unit", unit.name, f"/etc/systemd/system/{unit.name}", seen.get("FragmentPath", ""))
        elif active == "failed":
            yield DriftItem("unit", unit.name, "not failed", f"failed ({seen.get('Result', '')})")
        elif unit.start and active not in ("active", "activating", "reloading") and not _may_be_over(seen):
            yield DriftItem("unit", unit.name, "active", f"{active} ({sub})")


def _may_be_over(seen: Mapping[str, str]) -> bool:
    """Whether a unit that does not run has simply done its work."""
    return seen.get("Type") == "oneshot" and seen.get("RemainAfterExit") != "yes" and seen.get("Result") == "success"


def _accounts(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    if not (manifest.users or manifest.groups):
        return
    texts = read_accounts(machine.disk)
    users = {line.split(":")[0]: line.split(":") for line in texts.get("/etc/passwd", "").splitlines()}
    groups = {line.split(":")[0]: line.split(":") for line in texts.get("/etc/group", "").splitlines()}
    for user in manifest.users:
        line = users.get(user.name)
        if line is None or len(line) < 7:
            yield DriftItem("user", user.name, "there", NOTHING)
            continue
        for what, declared, observed in (("home", user.home, line[5]), ("shell", user.shell, line[6])):
            if declared != observed:
                yield DriftItem("user", user.name, f"{what} {declared}", f"{what} {observed}")
        for name in user.groups:
            if user.name not in _members(groups, name):
                yield DriftItem("user", user.name, f"in group {name}", "not in it")
    for group in manifest.groups:
        if group.name not in groups:
            yield DriftItem("group", group.name, "there", NOTHING)
            continue
        for name in group.members:
            if name not in _members(groups, group.name):
                yield DriftItem("group", group.name, f"member {name}", "not a member")


def _sysctl(machine: Machine, manifest: Manifest) -> Iterator[DriftItem]:
    for key, value in sorted(manifest.sysctl.items()):
        observed = machine.system.sysctl(key)
        if observed is None or observed.split() != value.split():
            yield DriftItem("sysctl", key, value, NOTHING if observed is None else observed)


def _members(groups: Mapping[str, Sequence[str]], name: str) -> List[str]:
    line = groups.get(name, ())
    return line[3].split(",") if len(line) > 3 else []


def _show(names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    text = run(["systemctl", "show", f"--property={_PROPERTIES}", "--", *names], timeout=_SHOW).text
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    return {name: blocks[index] for index, name in enumerate(names) if index < len(blocks)}


def _owner(mode: int, uid: int, gid: int) -> str:
    return f"mode {mode:04o}, owner {uid}:{gid}"


def _ignored(item: DriftItem, globs: Sequence[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(item.target, glob) or fnmatch.fnmatchcase(f"{item.kind}:{item.target}", glob) for glob in globs
    )
