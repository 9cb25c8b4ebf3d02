"""The wheels of a Python environment: by their names, and the METADATA that was unpacked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from deployer.materials.licences import wheel_licences
from deployer.materials.material import Material, hashes_of, hashes_of_source, url_of
from deployer.packages.derivation_inputs import Made

if TYPE_CHECKING:
    from deployer.store import Store

BUILDER: Final = "builtin:python-environment"


def files_of_environment(made: Made) -> list[str]:
    """The store paths of the wheels of an environment."""
    return [wheel["file"] for wheel in json.loads(made.derivation.environment["wheels"])]


def wheels_of_environment(store: Store, made: Made) -> Iterator[tuple[str, Material]]:
    """Each wheel of an environment that is in the store, with the store path of its file."""
    from packaging.utils import canonicalize_name, parse_wheel_filename

    fetched = {str(needed.output): needed for needed in made.inputs}
    sources = {str(source.path): source for source in made.sources}
    wheels: dict[str, tuple[str, str]] = {}
    references: dict[str, str] = {}
    for wheel in json.loads(made.derivation.environment["wheels"]):
        name, number = parse_wheel_filename(wheel["name"])[:2]
        wheels[name] = (str(number), wheel["file"])
        references[name] = f"pkg:pypi/{name}@{quote(str(number))}?file_name={quote(wheel['name'])}"
    metadata: dict[str, Message] = {}
    for found in sorted(store.physical(made.output).glob("lib/python*/site-packages/*.dist-info/METADATA")):
        message = HeaderParser().parsestr(found.read_text(errors="replace"))
        metadata[canonicalize_name(str(message["Name"]))] = message
    for project, (version, file) in wheels.items():
        told = metadata.get(project, Message())
        item = fetched.get(file)
        yield (
            file,
            Material(
                reference=references[project],
                name=project,
                version=version,
                package_url=references[project],
                hashes=hashes_of(item) if item else hashes_of_source(sources[file]),
                url=url_of(item) if item else "",
                licences=wheel_licences(told),
                needs=tuple(sorted({references[one] for one in _required(told) if one in references} - {references[project]})),
            ),
        )


def _required(metadata: Message) -> Iterator[str]:
    """What a wheel needs without its extras; what cannot be read is left out, as nothing was resolved by it."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in metadata.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(str(text))
        except InvalidRequirement:
            continue
        if "extra" not in str(requirement.marker or ""):
            yield canonicalize_name(requirement.name)
