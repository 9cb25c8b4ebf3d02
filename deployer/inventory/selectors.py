"""Which hosts a command means.

    web1   web*   @group   label=value   ~regex   @web[0]   @web[1:3]     atoms
    a,b  a:b      either          a:&b      both          a:!b      the first without the second

Unions come first, then intersections, then exclusions, wherever they stand. An atom that matches nothing is an error, and
so is a selector that excludes only: a slip of the finger must never mean "all hosts" or "nothing to do".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from deployer.inventory.errors import SelectorMatchesNothing, SelectorWrong, near

if TYPE_CHECKING:
    from deployer.inventory.models import Fleet, Host

_SUBSCRIPT: Final = re.compile(r"(?P<base>.+)\[(?:(?P<index>-?[0-9]{1,9})|(?P<first>-?[0-9]{0,9}):(?P<last>-?[0-9]{0,9}))\]")
_EXAMPLES: Final = "Write a host, web*, @group, label=value, ~regex, or several: a,b a:&b a:!b."


def select(fleet: Fleet, selector: str | None) -> tuple[Host, ...]:
    """The hosts that a selector means, in the inventory's order; None: all of them."""
    if selector is None:
        if not fleet.hosts:
            raise SelectorMatchesNothing("all", "all", advice="The inventory has no hosts: add some below `hosts`.")
        return tuple(fleet.hosts.values())
    united: set[str] = set()
    common: list[set[str]] = []
    excluded: set[str] = set()
    named = False
    for atom in split(selector):
        found = set(_atom(fleet, selector, atom.lstrip("&!").strip()))
        match atom[0]:
            case "&":
                common.append(found)
            case "!":
                excluded |= found
            case _:
                named, united = True, united | found
    if not named and not common:
        raise SelectorWrong(selector, "only excludes", f"Say from what: `all:{selector.strip()}`, for instance.")
    chosen = united if named else set(fleet.hosts)
    for found in common:
        chosen &= found
    chosen -= excluded
    if not chosen:
        raise SelectorMatchesNothing(selector, selector, advice="Each part matches hosts, but all of them together leave none.")
    return tuple(host for name, host in fleet.hosts.items() if name in chosen)


def split(selector: str) -> list[str]:
    """The atoms, with the `&` or `!` before them. Commas and colons within brackets are no separators."""
    atoms, start, depth = [], 0, 0
    escaped = False
    for index, letter in enumerate(selector):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth = max(0, depth - 1)
        elif letter in ",:" and depth == 0:
            atoms.append(selector[start:index].strip())
            start = index + 1
    atoms.append(selector[start:].strip())
    if not any(atoms):
        raise SelectorWrong(selector, "is empty", f"Leave the selector out for all hosts. {_EXAMPLES}")
    if not all(atom.strip("&! ") for atom in atoms):
        raise SelectorWrong(selector, "has an empty part", _EXAMPLES)
    return atoms


def _atom(fleet: Fleet, selector: str, atom: str) -> list[str]:
    """The names that one atom matches."""
    if subscript := None if atom.startswith("~") else _SUBSCRIPT.fullmatch(atom):
        base = subscript["base"]
        if base in fleet.groups and base not in fleet.hosts:
            base = f"@{base}"
        return _subscripted(list(_matching(fleet, selector, base)), subscript, selector, atom)
    return list(_matching(fleet, selector, atom))


def _subscripted(names: list[str], subscript: re.Match[str], selector: str, atom: str) -> list[str]:
    if subscript["index"] is not None:
        index = int(subscript["index"])
        found = names[index : index + 1 or None] if -len(names) <= index < len(names) else []
    else:
        first = int(subscript["first"] or 0)
        last = int(subscript["last"]) if subscript["last"] else -1
        found = names[first : last + 1 or None]
    if not found:
        many = f"{len(names)} host{'' if len(names) == 1 else 's'}"
        advice = f"'{subscript['base']}' has {many}; subscripts count from 0, and `[1:3]` includes both ends."
        raise SelectorMatchesNothing(selector, atom, advice=advice)
    return found


def _matching(fleet: Fleet, selector: str, atom: str) -> Iterator[str]:
    names = list(_candidates(fleet, selector, atom))
    if not names:
        raise SelectorMatchesNothing(selector, atom, _near_misses(fleet, atom))
    return iter(names)


def _candidates(fleet: Fleet, selector: str, atom: str) -> Iterator[str]:
    if atom.startswith("~"):
        try:
            pattern = re.compile(atom[1:])
        except re.error as error:
            raise SelectorWrong(selector, f"has a bad regular expression: {error}", "Correct it, or use a glob: web*.") from None
        return (name for name in fleet.hosts if pattern.match(name))
    if atom in {"all", "*", "@all"} and atom not in fleet.hosts:
        return iter(fleet.hosts)
    if atom == "@ungrouped":
        return (name for name, host in fleet.hosts.items() if not host.groups)
    if atom.startswith("@"):
        groups = fnmatch.filter(fleet.groups, atom[1:])
        members = {name for group in groups for name in fleet.groups[group]}
        return (name for name in fleet.hosts if name in members)
    label, equals, value = atom.partition("=")
    if equals:
        return (
            name for name, host in fleet.hosts.items() if label in host.labels and fnmatch.fnmatchcase(host.labels[label], value)
        )
    if atom in fleet.hosts:
        return iter((atom,))
    return (name for name in fleet.hosts if fnmatch.fnmatchcase(name, atom))


def _near_misses(fleet: Fleet, atom: str) -> tuple[str, ...]:
    label, equals, value = atom.partition("=")
    if equals:
        labels = {(key, text) for host in fleet.hosts.values() for key, text in host.labels.items()}
        keys = {label} if any(key == label for key, _ in labels) else set(near(label, sorted({key for key, _ in labels})))
        values = sorted({text for key, text in labels if key in keys})
        return tuple(
            f"{key}={text}" for key in sorted(keys) for text in near(value, values) or values[:3] if (key, text) in labels
        )
    if atom.startswith("@"):
        if atom[1:] in fleet.hosts:
            return (atom[1:],)
        return tuple(f"@{name}" for name in near(atom[1:], fleet.groups))
    if atom in fleet.groups:
        return (f"@{atom}",)
    return near(atom, [*fleet.hosts, *(f"@{name}" for name in fleet.groups)])
