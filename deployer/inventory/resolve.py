"""From the draft to the fleet: memberships, precedence and defaults."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deployer.errors import raise_all
from deployer.inventory.draft import Draft, HostDraft, Layer
from deployer.inventory.errors import GroupCycle, GroupUnknown, HostUnknown, near
from deployer.inventory.models import Connection, Fleet, Host
from deployer.inventory.settings import split_jump

_USER_CONFIG: Final = Path("~/.ssh/config")


def resolve(draft: Draft, packages: Path | None) -> Fleet:
    """The fleet. `packages` is the default. Raises all that is wrong with the draft."""
    _check_references(draft)
    raise_all(draft.errors)
    depths = _depths(draft)
    raise_all(draft.errors)
    ranked = sorted(draft.groups, key=lambda name: (depths[name], draft.groups[name].priority, name))
    members = _members(draft, ranked)
    groups_of: dict[str, list[str]] = {name: [] for name in draft.hosts}
    for group in ranked:
        for name in members[group]:
            groups_of[name].append(group)
    config = _user_config()
    layers: dict[tuple[str, ...], Layer] = {}
    merged: dict[str, tuple[HostDraft, tuple[str, ...], Layer]] = {}
    for name, host in draft.hosts.items():
        groups = tuple(groups_of[name])
        if groups not in layers:
            layers[groups] = _merge([draft.top, *(draft.groups[group].layer for group in groups)])
        merged[name] = (host, groups, _merge([layers[groups], host.layer]))
    hosts = {
        name: Host(
            name, groups, layer.labels, layer.vars, _connection(name, layer, config, merged), layer.configuration, host.place
        )
        for name, (host, groups, layer) in merged.items()
    }
    return Fleet(
        hosts=hosts,
        groups={group: tuple(name for name in hosts if name in members[group]) for group in draft.groups},
        rollout=draft.rollout,
        packages=draft.packages or packages,
        children={group: tuple(draft.groups[group].children) for group in draft.groups},
    )


def _check_references(draft: Draft) -> None:
    for name, group in draft.groups.items():
        for host, place in group.hosts.items():
            if host not in draft.hosts:
                draft.errors.append(HostUnknown(place, host, name, near(host, draft.hosts)))
        for child, place in group.children.items():
            if child not in draft.groups:
                draft.errors.append(GroupUnknown(place, child, name, near(child, draft.groups)))


def _depths(draft: Draft) -> dict[str, int]:
    """How far each group is below the top at most; a child is always deeper than its parents. Cycles go to the errors."""
    waiting = dict.fromkeys(draft.groups, 0)
    for group in draft.groups.values():
        for child in group.children:
            waiting[child] += 1
    ready = [name for name, parents in waiting.items() if parents == 0]
    depths = dict.fromkeys(draft.groups, 1)
    while ready:
        name = ready.pop()
        del waiting[name]
        for child in draft.groups[name].children:
            depths[child] = max(depths[child], depths[name] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    if waiting:
        cycle = _cycle(draft, waiting)
        draft.errors.append(GroupCycle(draft.groups[cycle[0]].children[cycle[1]], cycle))
    return depths


def _cycle(draft: Draft, waiting: Iterable[str]) -> tuple[str, ...]:
    """One way round, from one of the groups that are in a cycle or below one."""
    left = set(waiting)
    parents = {name: [other for other in draft.groups if other in left and name in draft.groups[other].children] for name in left}
    walk = [next(name for name in draft.groups if name in left)]
    while True:
        parent = parents[walk[-1]][0]
        if parent in walk:
            return (parent, *reversed(walk[walk.index(parent) :]))
        walk.append(parent)


def _members(draft: Draft, ranked: list[str]) -> dict[str, set[str]]:
    """The hosts of each group, its children's among them; `ranked` has parents before children."""
    members = {name: set(draft.groups[name].hosts) for name in ranked}
    for name in reversed(ranked):
        for child in draft.groups[name].children:
            members[name] |= members[child]
    return members


def _merge(layers: Iterable[Layer]) -> Layer:
    merged = Layer()
    for layer in layers:
        merged.update(layer)
    return merged


def _connection(
    name: str, layer: Layer, config: Path | None, merged: dict[str, tuple[HostDraft, tuple[str, ...], Layer]]
) -> Connection:
    values = {key: value for key, value in layer.connection.items() if value is not None}
    if jumps := values.get("jump"):
        values["jump"] = tuple(_jump(text, merged) for text in jumps if text != name)
    return Connection(**{"address": name, "ssh_config": config, **values})


def _jump(text: str, merged: dict[str, tuple[HostDraft, tuple[str, ...], Layer]]) -> str:
    """A jump host that is a host of the inventory is reached by what the inventory says of it."""
    user, host, port = split_jump(text)
    if host not in merged:
        return text
    known = merged[host][2].connection
    user, port = user or known.get("user"), port or known.get("port")
    address = known.get("address") or host
    address = f"[{address}]" if ":" in address else address
    return f"{user}@{address}" * bool(user) + address * (not user) + (f":{port}" if port else "")


def _user_config() -> Path | None:
    path = _USER_CONFIG.expanduser()
    return path if path.is_file() else None
