"""What maintainer scripts would have made of a root tree, and what we make in their place, without running any of them.

    accounts         /etc/passwd and /etc/group as base-passwd has them, or root and nobody
    name service     /etc/nsswitch.conf as libc-bin has it: files, and DNS for hosts
    alternatives     a link for each `update-alternatives --install` that a script says in plain words, to the one of the
                     highest priority
    certificates     one bundle of all that ca-certificates has, where OpenSSL, GnuTLS and curl look for it
    mount points     empty files in /etc over which a service's own may be mounted

Nothing replaces a file that a package brought.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deployer.build.tree_writer import NameRefusedError, TreeWriter, clean_name

_ROOT_AND_NOBODY: Final = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_THEIR_GROUPS: Final = "root:x:0:\nnogroup:x:65534:\n"
_NAME_SERVICE: Final = (
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"
)
_COPIES: Final = (
    ("etc/passwd", "usr/share/base-passwd/passwd.master", _ROOT_AND_NOBODY),
    ("etc/group", "usr/share/base-passwd/group.master", _THEIR_GROUPS),
    ("etc/nsswitch.conf", "usr/share/libc-bin/nsswitch.conf", _NAME_SERVICE),
    ("etc/hosts", "", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/hostname", "", ""),
    ("etc/resolv.conf", "", ""),
    ("etc/localtime", "", ""),
    ("etc/machine-id", "", ""),
)
_DIRECTORIES: Final = ("var/lib", "var/log", "var/cache", "var/tmp")
_CERTIFICATES: Final = "usr/share/ca-certificates"
_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
_OPENSSL: Final = "usr/lib/ssl/cert.pem"
"""Where OpenSSL looks for a bundle, as Debian builds it; it links into /etc."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One name that several packages may have a program for."""

    link: str
    path: str
    priority: int


def alternatives(script: str) -> Iterator[Alternative]:
    """Those that a maintainer script installs, as far as it says so without variables."""
    for line in script.replace("\\\n", " ").splitlines():
        if "update-alternatives" not in line or "--install" not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if "--install" not in words:
            continue
        said = words[words.index("--install") + 1 :]
        if len(said) < 4 or not re.fullmatch(r"-?\d+", said[3]):
            continue
        priority = int(said[3])
        pairs = [(said[0], said[2])]
        pairs += [(said[at + 1], said[at + 3]) for at, word in enumerate(said) if word == "--slave" and len(said) > at + 3]
        for link, path in pairs:
            if link.startswith("/") and path.startswith("/") and "$" not in link + path:
                yield Alternative(link, path, priority)


def chosen(offers: Iterable[Alternative]) -> Mapping[str, str]:
    """Link → path: for each name the offer of the highest priority; of equal ones, the first by path."""
    best: dict[str, Alternative] = {}
    for offer in sorted(offers, key=lambda offer: (-offer.priority, offer.path)):
        best.setdefault(offer.link, offer)
    return {link: offer.path for link, offer in sorted(best.items())}


def complete(writer: TreeWriter, scripts: Iterable[str]) -> None:
    """Make all of it in a tree in which all packages are unpacked. `scripts`: the packages' postinst."""
    for place, model, otherwise in _COPIES:
        if writer.status(clean_name(place)) is None:
            content = _read(writer, model) if model else None
            writer.file(clean_name(place), [otherwise.encode() if content is None else content], executable=False)
    for directory in _DIRECTORIES:
        writer.directory(clean_name(directory))
    offers = (offer for script in scripts for offer in alternatives(script))
    _link(writer, chosen(offer for offer in offers if writer.status(_place(offer.path)) is not None))
    _certificates(writer)


def _link(writer: TreeWriter, links: Mapping[str, str]) -> None:
    for link, path in links.items():
        place, target = _place(link), _place(path)
        if writer.status(place) is None and writer.status(place[:-1]) is not None:
            writer.symlink(place, os.path.relpath("/".join(target), "/".join(place[:-1])))


def _place(path: str) -> tuple[str, ...]:
    """Where an absolute path is in the tree; the empty name, which nothing has, for one that no tree can have."""
    try:
        return clean_name(re.sub(r"^(bin|sbin|lib|lib64)/", r"usr/\1/", path.lstrip("/")))
    except NameRefusedError:
        return ()


def _certificates(writer: TreeWriter) -> None:
    if writer.status(clean_name(_BUNDLE)) is not None:
        return
    bundle = [content for place in _files(writer, _CERTIFICATES) if place.endswith(".crt") and (content := _read(writer, place))]
    if bundle:
        ends = (content if content.endswith(b"\n") else content + b"\n" for content in bundle)
        writer.file(clean_name(_BUNDLE), ends, executable=False)
        if writer.status(clean_name(_OPENSSL)) is None:
            writer.symlink(clean_name(_OPENSSL), os.path.relpath(_BUNDLE, os.path.dirname(_OPENSSL)))


def _files(writer: TreeWriter, directory: str) -> Iterator[str]:
    """Names of all that is below a directory, in order."""
    for name in writer.names(clean_name(directory)):
        place = f"{directory}/{name}"
        if writer.is_directory(clean_name(place)):
            yield from _files(writer, place)
        else:
            yield place


def _read(writer: TreeWriter, place: str) -> bytes | None:
    """The content of a regular file of the tree."""
    try:
        return writer.read_file(clean_name(place)) if writer.status(clean_name(place)) is not None else None
    except OSError:
        return None
