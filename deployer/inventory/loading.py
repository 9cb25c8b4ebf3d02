"""From sources to a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deployer.errors import near
from deployer.inventory import sources as reading
from deployer.inventory.draft import ALL, UNGROUPED, Draft, HostDraft, Settings
from deployer.inventory.errors import BadHostName, GroupCycle, NoHosts, UnknownGroup, UnknownHost
from deployer.inventory.model import Connection, Fleet, GroupNode, Host
from deployer.inventory.values import join_jump, split_jump


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
    if draft.packages is None and sources:
        draft.packages = _usual_packages(Path(sources[0]))
    return _fleet(draft)


def _usual_packages(source: Path) -> Path | None:
    """`packages.yaml` beside the first source, where there is one."""
    beside = (source if source.is_dir() else source.parent).absolute() / "packages.yaml"
    return beside if beside.is_file() else None


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

    inherited: dict[tuple[str, ...], Settings] = {}
    settings: dict[str, Settings] = {}
    in_groups: dict[str, tuple[str, ...]] = {}
    members: dict[str, list[str]] = {name: [] for name in (ALL, UNGROUPED, *draft.groups)}
    for name, drafted in draft.hosts.items():
        own = frozenset[str]().union(*(ancestors[group] for group in direct[name]))
        groups = tuple(sorted(own, key=lambda group: (depths[group], draft.groups[group].priority, group)))
        if groups not in inherited:
            inherited[groups] = _merge(draft, groups or (UNGROUPED,))
        in_groups[name], settings[name] = groups, Settings()
        settings[name].add(inherited[groups])
        settings[name].add(drafted.settings)
        for member_of in (ALL, *(groups or (UNGROUPED,))):
            members[member_of].append(name)

    hosts = {name: _host(draft.hosts[name], in_groups[name], settings) for name in draft.hosts}
    top = tuple(name for name in draft.groups if not parents[name] and name != UNGROUPED)
    tree = {ALL: GroupNode((), (UNGROUPED, *top)), UNGROUPED: GroupNode(tuple(members[UNGROUPED]))}
    for name, group in draft.groups.items():
        if name != UNGROUPED:
            tree[name] = GroupNode(tuple(group.hosts), tuple(group.children))
    return Fleet(hosts, {name: tuple(found) for name, found in members.items()}, draft.rollout, draft.packages, tree)


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


def _host(drafted: HostDraft, groups: tuple[str, ...], settings: dict[str, Settings]) -> Host:
    own = settings[drafted.name]
    connection: dict[str, Any] = {"address": drafted.name, **own.connection}
    # A default that every host inherits, the jump host itself among them, must not send it through itself.
    jumps = [jump for jump in connection.pop("jump", ()) if split_jump(jump)[1] != drafted.name]
    return Host(
        name=drafted.name,
        connection=Connection(**connection, jump=tuple(_jump(jump, settings) for jump in jumps)),
        groups=groups,
        labels=own.labels,
        vars=own.vars,
        configuration=own.configuration,
        place=drafted.place,
    )


def _jump(text: str, settings: dict[str, Settings]) -> str:
    """A jump host that is a host of the inventory is reached by what the inventory says of it."""
    user, name, port = split_jump(text)
    if name not in settings:
        return text
    known = settings[name].connection
    return join_jump(user or known.get("user"), known.get("address", name), port or known.get("port"))
