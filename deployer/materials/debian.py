"""The .debs of a root tree: by what their control files tell, and the copyright files in the tree."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from deployer.build.archives import deb_control_file
from deployer.materials.licences import debian_licences
from deployer.materials.material import Material, hashes_of
from deployer.packages.derivation_inputs import Made

if TYPE_CHECKING:
    from deployer.store import Store

BUILDER: Final = "builtin:debian-root"
_RELATION: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def files_of_tree(made: Made) -> list[str]:
    """The store paths of the .debs of a tree."""
    return [deb["file"] for deb in json.loads(made.derivation.environment["debs"])]


def debs_of_tree(store: Store, made: Made, suite: str) -> Iterator[tuple[str, Material]]:
    """Each .deb of a tree that is in the store, with the store path of its file. Raises `ArchiveRefused`."""
    fetched = {str(needed.output): needed for needed in made.inputs}
    controls: dict[str, tuple[str, Message]] = {}
    for deb in json.loads(made.derivation.environment["debs"]):
        text = deb_control_file(store.physical(deb["file"]), deb["name"], "control")
        controls[deb["name"]] = (deb["file"], HeaderParser().parsestr(text))
    references = {name: _package_url(control, suite) for name, (_, control) in controls.items()}
    # A name that packages provide stands for the first of them, where no package has it.
    known = dict(references)
    for name, (_, control) in sorted(controls.items()):
        for virtual in _names(control.get("Provides", "")):
            known.setdefault(virtual, references[name])
    for name, (file, control) in controls.items():
        relations = f"{control.get('Pre-Depends', '')}, {control.get('Depends', '')}"
        needed = {known[one] for one in _names(relations) if one in known} - {references[name]}
        copyright_file = _inside(store.physical(made.output), f"usr/share/doc/{name}/copyright")
        yield (
            file,
            Material(
                reference=references[name],
                name=name,
                version=control.get("Version", ""),
                package_url=references[name],
                hashes=hashes_of(fetched[file]),
                licences=debian_licences(copyright_file.read_text(errors="replace")) if copyright_file else (),
                needs=tuple(sorted(needed)),
            ),
        )


def _package_url(control: Message, suite: str) -> str:
    name, version = quote(control["Package"]), quote(control["Version"], safe=":~")
    return f"pkg:deb/debian/{name}@{version}?arch={control['Architecture']}&distro={quote(suite)}"


def _names(relations: str) -> list[str]:
    """The packages that a relation names, all alternatives; those that are not there are nobody's need."""
    parts = re.split(r"[,|]", " ".join(relations.split()))
    return [match[0] for part in parts if (match := _RELATION.match(part.strip()))]


def _inside(root: Path, name: str) -> Path | None:
    """A file of a tree, where no link leads out of the tree."""
    real = Path(os.path.realpath(root / name))
    return real if real.is_relative_to(os.path.realpath(root)) and real.is_file() else None
