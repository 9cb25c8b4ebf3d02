"""What the new root is composed of, from what there is: a pure function."""

from __future__ import annotations

from typing import Final, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from deployer.sandbox.launcher.spec import Spec

OF_THE_TREE: Final = frozenset({"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""Top directories that are never the machine's where there is a tree."""
MAY_BE_OF_THE_TREE: Final = frozenset({"opt"})
"""Those that are the tree's if it has something in them."""
ALWAYS_OF_THE_MACHINE: Final = frozenset({"passwd", "group", "hosts", "hostname", "resolv.conf", "localtime", "machine-id"})
"""Of `/etc`: who and where the machine is. Names besides these are the tree's first."""
MACHINE: Final = "/.host"
"""Inside, the machine's own `/etc` is below this."""
ETC: Final = f"{MACHINE}/etc"
_NAME_SERVICE: Final = (
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"
)


class Entry(NamedTuple):
    """One name of a directory."""

    name: str
    kind: str
    """`directory`, `file`, `link`."""
    target: str = ""
    """Of a link, as it stands there."""


class Bind(NamedTuple):
    """Show a file or directory of the machine at another place."""

    source: str
    place: str
    read_only: bool = False


class Link(NamedTuple):
    """A symbolic link."""

    target: str
    place: str


class Text(NamedTuple):
    """A file."""

    content: bytes
    place: str


Step = Union[Bind, Link, Text]


class Seen(NamedTuple):
    """What the new root is composed of."""

    top: Tuple[Entry, ...]
    """Of the machine's `/`."""
    tree: Tuple[Entry, ...] = ()
    """Of the tree, without directories that are empty."""
    tree_etc: Tuple[Entry, ...] = ()
    machine_etc: Tuple[Entry, ...] = ()
    """Links in it are followed to their ends."""
    copies: Optional[Mapping[str, bytes]] = None
    """Content of those files of the machine's `/etc` that would be out of sight, by name."""


def layout(spec: Spec, seen: Seen) -> List[Step]:
    """What is made in the new root, in order."""
    return [*_top(spec, seen), *_store(spec), *(_etc(spec, seen) if spec.root else ())]


def _top(spec: Spec, seen: Seen) -> List[Step]:
    steps: List[Step] = []
    of_tree = {entry.name for entry in seen.tree if entry.name in OF_THE_TREE | MAY_BE_OF_THE_TREE}
    hidden = OF_THE_TREE | of_tree | {"etc", MACHINE.lstrip("/")} if spec.root else frozenset()
    if spec.store:
        hidden |= {spec.store_directory.split("/")[1]}
    for entry in seen.top:
        if entry.name in hidden:
            continue
        if entry.kind == "link":
            steps.append(Link(entry.target, f"/{entry.name}"))
        elif entry.kind == "directory":
            steps.append(Bind(f"/{entry.name}", f"/{entry.name}"))
    for entry in seen.tree:
        if entry.name not in of_tree:
            continue
        if entry.kind == "link":
            steps.append(Link(entry.target, f"/{entry.name}"))
        else:
            steps.append(Bind(f"{spec.physical(spec.root)}/{entry.name}", f"/{entry.name}", read_only=True))
    return steps


def _store(spec: Spec) -> List[Step]:
    return [Bind(spec.store, spec.store_directory, read_only=True)] if spec.store else []


def _etc(spec: Spec, seen: Seen) -> List[Step]:
    machines_first = ALWAYS_OF_THE_MACHINE.union(spec.etc)
    machine = {entry.name: entry for entry in seen.machine_etc}
    tree = {entry.name: entry for entry in seen.tree_etc}
    copies = seen.copies or {}
    steps: List[Step] = [Bind(machine_etc(seen.top), ETC)]
    for name in sorted({*machine, *tree, *copies}):
        place = f"/etc/{name}"
        if name in tree and not (name in machines_first and (name in machine or name in copies)):
            entry = tree[name]
            target = entry.target if entry.kind == "link" else f"{spec.root}/etc/{name}"
            steps.append(Link(target, place))
        elif name in copies:
            steps.append(Text(copies[name], place))
        else:
            steps.append(Link(machine[name].target, place))
    if "nsswitch.conf" not in tree:
        steps = [step for step in steps if step.place != "/etc/nsswitch.conf"]
        steps.append(Text(_NAME_SERVICE.encode(), "/etc/nsswitch.conf"))
    return steps


def machine_etc(top: Sequence[Entry]) -> str:
    """Inside another environment, the machine's own is not `/etc`."""
    return ETC if any(entry.name == MACHINE.lstrip("/") for entry in top) else "/etc"
