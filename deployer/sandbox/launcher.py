"""Starts a program with the root tree of a package as its `/usr`: a file that a bare Python runs, here, on hosts and in packs.

    python3 -I -S launcher.py SPEC [--store DIRECTORY] -- PROGRAM [ARGUMENT…]

SPEC is a JSON document, or the file that it stands in: see `Spec`. The program gets a mount namespace of its own. In it, `/usr`
and its kin are the tree's; `/etc` has the tree's entries, and the machine's where the tree has none; all else is the machine's:
home, working directory, /tmp, /dev, /proc, /run, /var, network, terminal. No process stands in between: the program takes this
one's place, so signals, job control and exit status are its own. An ordinary user needs no right but that to user namespaces.
What is imported here is compiled at every start on machines that keep no byte code: so it is little.

Exit status, where no program was started: 125 nothing was; 126 it can't be run; 127 it is not there.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from typing import Any, Dict, Final, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

NOTHING_STARTED: Final = 125
NOT_RUNNABLE: Final = 126
NOT_THERE: Final = 127

OF_THE_TREE: Final = frozenset({"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""Top directories that are never the machine's where there is a tree."""
MAY_BE_OF_THE_TREE: Final = frozenset({"opt"})
"""Those that are the tree's if it has something in them."""
ALWAYS_OF_THE_MACHINE: Final = frozenset({"passwd", "group", "hosts", "hostname", "resolv.conf", "localtime", "machine-id"})
"""Of `/etc`: who and where the machine is. Names besides these are the tree's first."""
MACHINE: Final = "/.host"
"""Inside, the machine's own `/etc` is below this."""
_ETC: Final = f"{MACHINE}/etc"
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_DROPPED: Final = frozenset({"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH"})
"""Variables that would bring the machine's libraries into a program of the tree."""
_LARGEST_COPY: Final = 1 << 20
_NAME_SERVICE: Final = (
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"
)


class Spec(NamedTuple):
    """What a program is to find around it."""

    root: str = ""
    """The store path of the tree; empty: the machine's own `/usr` stays."""
    store_directory: str = "/nix/store"
    store: str = ""
    """Where the store really lies; empty: there."""
    path: Tuple[str, ...] = ()
    """Directories that come first in PATH."""
    environment: Optional[Mapping[str, str]] = None
    """Variables that are set."""
    keep: Optional[Tuple[str, ...]] = None
    """The only variables that stay as they are; None: all do."""
    etc: Tuple[str, ...] = ()
    """More names in `/etc` that are the machine's first."""

    def __str__(self) -> str:
        """As JSON."""
        return json.dumps({name: value for name, value in self._asdict().items() if value not in ("", (), None)}, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Spec:
        """From JSON, or from a file of it. Raises `ValueError`, `OSError`."""
        if text.startswith("/"):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        known = json.loads(text)
        given: Dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        return cls(**given)

    def physical(self, path: str) -> str:
        """Where a path of the store really is."""
        inside = path.startswith(f"{self.store_directory}/")
        return self.store + path[len(self.store_directory) :] if self.store and inside else path


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
    steps: List[Step] = [Bind(_machine_etc(seen.top), _ETC)]
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


def _machine_etc(top: Sequence[Entry]) -> str:
    """Inside another environment, the machine's own is not `/etc`."""
    return _ETC if any(entry.name == MACHINE.lstrip("/") for entry in top) else "/etc"


def variables(spec: Spec, given: Mapping[str, str]) -> Dict[str, str]:
    """The environment of the program."""
    kept = given if spec.keep is None else {name: value for name, value in given.items() if name in spec.keep}
    path = [*spec.path, *_PATH]
    if spec.keep is None:
        path += [item for item in given.get("PATH", "").split(":") if item and item not in path]
    result = {name: value for name, value in kept.items() if name not in _DROPPED or not spec.root}
    result.update({"PATH": ":".join(path), **(spec.environment or {})})
    return result


# What follows looks at the machine and changes this process


def look(spec: Spec) -> Seen:
    """See what there is. Raises `OSError`."""
    top = tuple(_entries("/"))
    if not spec.root:
        return Seen(top)
    tree = spec.physical(spec.root)
    etc = _machine_etc(top)
    machine: List[Entry] = []
    copies: Dict[str, bytes] = {}
    for entry in _entries(etc):
        real = os.path.realpath(f"{etc}/{entry.name}")
        if real.startswith(f"{etc}/"):
            machine.append(Entry(entry.name, entry.kind, _ETC + real[len(etc) :]))
        elif real.split("/")[1] in OF_THE_TREE:
            content = _content(real)
            if content is not None:
                copies[entry.name] = content
        elif os.path.exists(real):
            machine.append(Entry(entry.name, entry.kind, real))
    return Seen(
        top,
        tuple(entry for entry in _entries(tree) if entry.kind != "directory" or os.listdir(f"{tree}/{entry.name}")),
        tuple(_entries(f"{tree}/etc")) if os.path.isdir(f"{tree}/etc") else (),
        tuple(machine),
        copies,
    )


def _given() -> Dict[str, str]:
    """The variables that this process was started with: Python adds to them where there is no locale."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (item.partition(b"=") for item in file.read().split(b"\0") if b"=" in item)
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _entries(directory: str) -> List[Entry]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            kind = "link" if entry.is_symlink() else "directory" if entry.is_dir(follow_symlinks=False) else "file"
            found.append(Entry(entry.name, kind, os.readlink(entry.path) if kind == "link" else ""))
    return sorted(found, key=lambda entry: entry.name)


def _content(path: str) -> Optional[bytes]:
    """A small file's, if this user may read it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or os.path.getsize(path) > _LARGEST_COPY:
            return None
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


_NEW_NAMESPACE: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION, _REMOUNT = 1, 2, 4, 8, 32
_NO_ATIME, _NO_DIRECTORY_ATIME, _BIND, _RECURSIVE, _SLAVE, _RELATIVE_ATIME = 1 << 10, 1 << 11, 1 << 12, 1 << 14, 1 << 19, 1 << 21
_DETACH: Final = 2
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_library = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel does not let us make a namespace; the text says what to do."""


def enter(steps: Sequence[Step]) -> None:
    """Be in a root made of `steps`. Raises `Refused`, `OSError`."""
    _unshare()
    _mount("none", "/", flags=_RECURSIVE | _SLAVE)
    # A file system in memory becomes the root; the old one stays in sight below it until all is bound.
    _mount("deployer", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "mode=0755,size=16m")
    old = "/.old"
    os.mkdir(f"/tmp{old}")
    _call("pivot_root", _library.syscall(_PIVOT_ROOT[os.uname().machine], b"/tmp", f"/tmp{old}".encode()), "/tmp")
    os.chdir("/")
    for step in steps:
        _carry_out(step, old)
    _call("umount", _library.umount2(old.encode(), _DETACH), old)
    os.rmdir(old)
    _mount("none", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _carry_out(step: Step, old: str) -> None:
    os.makedirs(os.path.dirname(step.place), exist_ok=True)
    if isinstance(step, Link):
        os.symlink(step.target, step.place)
        return
    if isinstance(step, Text):
        with open(step.place, "wb") as file:
            file.write(step.content)
        return
    source = old + step.source
    os.makedirs(step.place, exist_ok=True)
    _mount(source, step.place, flags=_BIND | _RECURSIVE)
    if step.read_only:
        _mount("none", step.place, flags=_REMOUNT | _BIND | _READ_ONLY | _locked_flags(step.place))


def _locked_flags(path: str) -> int:
    """What a mount forbids already must be said again, or an ordinary user may not change it."""
    known = os.statvfs(path).f_flag
    pairs = (
        (os.ST_NOSUID, _NO_SUID),
        (os.ST_NODEV, _NO_DEVICES),
        (os.ST_NOEXEC, _NO_EXECUTION),
        (os.ST_NOATIME, _NO_ATIME),
        (os.ST_NODIRATIME, _NO_DIRECTORY_ATIME),
        (os.ST_RELATIME, _RELATIVE_ATIME),
    )
    return sum(flag for seen, flag in pairs if known & seen)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0 and _library.unshare(_NEW_NAMESPACE) == 0:
        return
    if _library.unshare(_NEW_USER | _NEW_NAMESPACE) != 0:
        raise Refused(f"this machine does not let you make a user namespace: {os.strerror(ctypes.get_errno())}")
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise Refused(f"this machine does not let you use a user namespace: {error.strerror}") from None


def _mount(source: str, place: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, place, kind)]
    options = None if data is None else data.encode()
    _call("mount", _library.mount(*words, ctypes.c_ulong(flags), options), place)


def _call(what: str, result: int, place: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}", place)


def find(program: str, path: str) -> Optional[str]:
    """Where a program is, looked for as a shell does."""
    places = [program] if "/" in program else [f"{directory}/{program}" for directory in path.split(":") if directory]
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the program."""
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    try:
        spec = Spec.read(options[0])
        if options[1:2] == ["--store"]:
            spec = spec._replace(store=options[2])
        directory = os.getcwd()
        environment = variables(spec, _given())
        if spec.root or spec.store:
            enter(layout(spec, look(spec)))
    except Refused as refused:
        _end(
            NOTHING_STARTED,
            f"{refused}. See sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, and AppArmor's "
            "kernel.apparmor_restrict_unprivileged_userns; or run this as root",
        )
    except OSError as error:
        _end(NOTHING_STARTED, f"{error.filename or ''}: {error.strerror}")
    _return_to(directory)
    if not os.path.exists(f"/{_CERTIFICATES}") and os.path.exists(f"{MACHINE}/{_CERTIFICATES}"):
        environment.setdefault("SSL_CERT_FILE", f"{MACHINE}/{_CERTIFICATES}")
    if spec.root and not any(os.path.exists(f"/usr/lib/locale/{name}") for name in ("locale-archive", "C.utf8")):
        # Some programs refuse to start in a locale that is not there; the one without a name always is.
        environment = {name: value for name, value in environment.items() if name != "LANG" and not name.startswith("LC_")}
    program = find(command[0], environment["PATH"])
    if program is None:
        _end(NOT_THERE, f"there is no program {command[0]!r} here: PATH is {environment['PATH']}")
    try:
        os.execve(program, [*command], environment)
    except OSError as error:
        _end(NOT_RUNNABLE, f"{program} can't be run: {error.strerror}")


def _return_to(directory: str) -> None:
    try:
        os.chdir(directory)
    except PermissionError:
        return  # nor could this user have come there before
    except OSError:
        _say(f"{directory} is not to be seen from here; the working directory is now /")


def _end(status: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    sys.stderr.write(f"deployer: {message}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
