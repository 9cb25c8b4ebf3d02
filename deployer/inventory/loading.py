"""From sources to a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deployer.inventory import sources as reading
from deployer.inventory.draft import ALL, UNGROUPED, Draft, HostDraft, Settings
from deployer.inventory.errors import BadHostName, GroupCycle, NoHosts, UnknownGroup, UnknownHost, near
from deployer.inventory.model import Connection, Fleet, GroupNode, Host


def load_fleet(sources: Sequence[Path]) -> Fleet:
    """The fleet that one or several inventories describe; the later wins. Raises all that is wrong, together."""
    draft = Draft()
    for source in sources:
        reading.read(Path(source), draft)
    reading.read_variables(draft)
    _check_references(draft)
    cycles = list(_cycles(draft))
    for cycle in cycles:
        draft.problems.add(cycle)
    if not draft.hosts and not draft.problems.errors:
        draft.problems.add(NoHosts(tuple(str(source) for source in sources)))
    draft.problems.raise_all()
    return _fleet(draft)


def _check_references(draft: Draft) -> None:
    declared = [name for name, group in draft.groups.items() if group.declared]
    for group in draft.groups.values():
        for name, place in group.hosts.items():
            if name not in draft.hosts and not _was_refused(draft, name):
                draft.problems.add(UnknownHost(place, name, group.name, near(name, draft.hosts)))
        for name, place in group.children.items():
            if name not in declared:
                draft.problems.add(UnknownGroup(place, name, near(name, declared)))
        if not group.declared and not any(group.name in other.children for other in draft.groups.values()):
            draft.problems.add(UnknownGroup(group.place, group.name, near(group.name, declared)))


def _was_refused(draft: Draft, name: str) -> bool:
    """Whether a host is missing only because its own entry is wrong, which is told already."""
    return any(isinstance(error, BadHostName) and error.name == name for error in draft.problems.errors)


def _cycles(draft: Draft) -> Iterator[GroupCycle]:
    """Each cycle once, at the line that closes it."""
    done: set[str] = set()
    for start in draft.groups:
        path: list[str] = []
        todo: list[tuple[str, bool]] = [(start, False)]
        while todo:
            name, leaving = todo.pop()
            if leaving:
                path.pop()
                done.add(name)
                continue
            if name in path:
                members = [*path[path.index(name) :], name]
                yield GroupCycle(draft.groups[members[-2]].children[name], tuple(members))
                continue
            if name in done or name not in draft.groups:
                continue
            path.append(name)
            todo.append((name, True))
            todo += [(child, False) for child in reversed(draft.groups[name].children)]


def _fleet(draft: Draft) -> Fleet:
    parents: dict[str, list[str]] = {name: [] for name in draft.groups}
    for group in draft.groups.values():
        for child in group.children:
            parents[child].append(group.name)
    depths = _depths(draft, parents)
    direct: dict[str, list[str]] = {name: [] for name in draft.hosts}
    for group in draft.groups.values():
        if group.name != UNGROUPED:
            for host in group.hosts:
                direct[host].append(group.name)

    ancestors: dict[str, frozenset[str]] = {}
    for name in sorted(draft.groups, key=lambda name: depths[name]):
        ancestors[name] = frozenset({name}).union(*(ancestors[parent] for parent in parents[name]))

    merged: dict[tuple[str, ...], Settings] = {}
    hosts: dict[str, Host] = {}
    members: dict[str, list[str]] = {name: [] for name in (ALL, UNGROUPED, *draft.groups)}
    for name, host in draft.hosts.items():
        own = frozenset[str]().union(*(ancestors[group] for group in direct[name]))
        groups = tuple(sorted(own, key=lambda group: (depths[group], draft.groups[group].priority, group)))
        if groups not in merged:
            merged[groups] = _merge(draft, groups or (UNGROUPED,))
        hosts[name] = _host(host, groups, merged[groups])
        for group in (ALL, *(groups or (UNGROUPED,))):
            members[group].append(name)
    ungrouped = GroupNode(tuple(members[UNGROUPED]))
    top = tuple(name for name in draft.groups if not parents[name] and name != UNGROUPED)
    tree = {ALL: GroupNode((), (UNGROUPED, *top)), UNGROUPED: ungrouped}
    tree |= {
        name: GroupNode(tuple(group.hosts), tuple(group.children)) for name, group in draft.groups.items() if name != UNGROUPED
    }
    groups_of_fleet = {name: tuple(found) for name, found in members.items()}
    return Fleet(hosts, groups_of_fleet, draft.rollout, draft.packages, tree)


def _depths(draft: Draft, parents: dict[str, list[str]]) -> dict[str, int]:
    """The longest way from the top to each group; there are no cycles any more."""
    depths: dict[str, int] = {}
    waiting = {name: len(found) for name, found in parents.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        depths[name] = 1 + max((depths[parent] for parent in parents[name]), default=0)
        for child in draft.groups[name].children:
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return depths


def _merge(draft: Draft, groups: tuple[str, ...]) -> Settings:
    settings = Settings()
    settings.add(draft.everything)
    for group in groups:
        if group in draft.groups:
            settings.add(draft.groups[group].settings)
    return settings


def _host(host: HostDraft, groups: tuple[str, ...], inherited: Settings) -> Host:
    settings = Settings()
    settings.add(inherited)
    settings.add(host.settings)
    connection: dict[str, Any] = {"address": host.name, **settings.connection}
    return Host(
        name=host.name,
        connection=Connection(**connection),
        groups=groups,
        labels=settings.labels,
        vars=settings.vars,
        configuration=settings.configuration,
        place=host.place,
    )
