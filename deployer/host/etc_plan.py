"""What an activation does below `/etc`, and what it refuses to. Pure."""

from __future__ import annotations

from typing import Final, List, Optional, Tuple

from deployer.formats.etc_readers import reader_of
from deployer.formats.manifest import DIRECTORY, FILE, LINK, EtcEntry, Manifest
from deployer.formats.messages import Action, Problem
from deployer.host import disk_entry
from deployer.host.etc import in_order_of_removal
from deployer.host.fingerprints import ABSENT, left_as
from deployer.host.ledger import Ledger
from deployer.host.paths import ETC
from deployer.host.plan_inputs import UNKNOWN, Observed

_REFUSE: Final = "refuse"
_BY_HAND: Final = "it was changed by hand"


def plan_etc(
    previous: Manifest, manifest: Manifest, observed: Observed, ledger: Ledger, problems: List[Problem], *, repair: bool
) -> Tuple[List[Action], List[Action]]:
    """What is done before `current` moves, and after. What is refused is added to `problems`."""
    wanted = {entry.path: entry for entry in manifest.etc}
    before = {entry.path: entry for entry in previous.etc}
    early, late = in_order_of_removal([path for path in ledger.etc if path not in wanted], wanted)
    actions = [_removal(path, observed, ledger) for path in early if not ledger.etc[path].adopted]
    problems += [
        observed.obstacles[path] for path in (*early, *late) if path in observed.obstacles and _goes(path, observed, ledger)
    ]
    for path in sorted(wanted):
        operation = _operation(wanted[path], before.get(path), observed, ledger, repair=repair)
        if operation and path in observed.obstacles:
            problems.append(observed.obstacles[path])
        elif operation == _REFUSE:
            problems.append(_in_the_way(wanted[path], observed.etc[path], ledger))
        elif operation:
            because = _because(operation, wanted[path], before.get(path), ledger)
            if operation == "change" and because != _BY_HAND and _is_touched(path, observed, ledger):
                because = ", and ".join(filter(None, [because, _BY_HAND]))
            actions.append(Action("etc", operation, f"{ETC}/{path}", because))
    return actions, [_removal(path, observed, ledger) for path in late if not ledger.etc[path].adopted]


def _operation(entry: EtcEntry, before: Optional[EtcEntry], observed: Observed, ledger: Ledger, *, repair: bool) -> str:
    """`add`, `change`, `replace`, `refuse`, or nothing."""
    stands, wish, owned = observed.etc[entry.path], observed.wishes[entry.path], ledger.etc.get(entry.path)
    if stands == UNKNOWN:
        return ""
    is_same = before is not None and entry.leaves_the_same(before)
    if owned is not None and is_same and not (repair and stands != wish):
        return ""
    kind = stands.split(" ", 1)[0]
    replaceable = kind in (disk_entry.FILE, disk_entry.LINK, ABSENT) or (
        kind == disk_entry.DIRECTORY and DIRECTORY in (entry.kind, owned and owned.kind)
    )
    if owned is not None and not owned.adopted:
        return "change" if replaceable else _REFUSE
    if stands == wish:
        return "change" if owned is not None else ""
    if stands == ABSENT:
        return "add"
    is_identical = entry.kind == LINK and stands == f"file {entry.sha256} 644 0 0"
    return "replace" if replaceable and (entry.replace or is_identical or owned is not None) else _REFUSE


def _goes(path: str, observed: Observed, ledger: Ledger) -> bool:
    """Whether an entry of ours that is no longer declared is still there to be taken away."""
    return not ledger.etc[path].adopted and observed.etc[path] != ABSENT


def _is_touched(path: str, observed: Observed, ledger: Ledger) -> bool:
    """Whether an entry of ours no longer stands as we left it."""
    owned = ledger.etc.get(path)
    return owned is not None and not owned.adopted and observed.etc[path] != left_as(owned)


def _in_the_way(entry: EtcEntry, stands: str, ledger: Ledger) -> Problem:
    kind = stands.split(" ", 1)[0]
    if entry.path in ledger.etc:
        message, remedy = f"somebody put a {kind} in the place of what deployer had there", "Move it out of the way."
    elif kind in (disk_entry.FILE, disk_entry.LINK) or (kind == disk_entry.DIRECTORY and entry.kind == DIRECTORY):
        message = f"a {kind} is there already, and is not deployer's"
        remedy = "Set `replace: true` on the entry: what is there is kept, and returns when the entry goes."
    else:
        message = f"a {kind if kind != disk_entry.OTHER else 'device, socket or pipe'} is there already"
        remedy = "Move it out of the way: only files and links are replaced."
    return Problem(f"{ETC}/{entry.path}", message, remedy)


def _because(operation: str, entry: EtcEntry, before: Optional[EtcEntry], ledger: Ledger) -> str:
    if operation == "replace":
        return "what is there is kept, and returns when the entry goes"
    if operation == "add" and entry.kind == FILE:
        reader = reader_of(entry.path)
        return f"a real file: {reader.why}" if reader is not None else ""
    if operation != "change":
        return ""
    if before is None or entry.leaves_the_same(before):
        return _BY_HAND
    names = {"kind": "kind", "sha256": "content", "target": "target", "mode": "mode", "owner": "owner", "group": "group"}
    return ", ".join(word for name, word in names.items() if getattr(before, name) != getattr(entry, name))


def _removal(path: str, observed: Observed, ledger: Ledger) -> Action:
    operation = "restore" if ledger.etc[path].original is not None else "remove"
    because = _BY_HAND if observed.etc[path] != ABSENT and _is_touched(path, observed, ledger) else ""
    return Action("etc", operation, f"{ETC}/{path}", because)
