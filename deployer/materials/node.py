"""The npm packages of a project: by where they lie in it, and the package.json that was unpacked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from deployer.materials.licences import spdx
from deployer.materials.material import Material, hashes_of, url_of
from deployer.packages.derivation_inputs import Made

if TYPE_CHECKING:
    from deployer.store import Store

BUILDER: Final = "builtin:node-project"
_MODULES: Final = "node_modules/"


def files_of_project(made: Made) -> list[str]:
    """The store paths of the tarballs of a project."""
    return [package["file"] for package in json.loads(made.derivation.environment["packages"])]


def packages_of_project(store: Store, made: Made) -> Iterator[tuple[str, Material]]:
    """Each place of a package in a project that is in the store, with the store path of its tarball."""
    fetched = {str(needed.output): needed for needed in made.inputs}
    files = {package["path"]: package["file"] for package in json.loads(made.derivation.environment["packages"])}
    manifests = {path: _manifest(store, made, path) for path in files}
    references = {path: _package_url(path, manifest) for path, manifest in manifests.items()}
    for path, manifest in manifests.items():
        needed = {
            _found(path, str(name), references)
            for key in ("dependencies", "optionalDependencies")
            for name in manifest.get(key) or ()
        }
        yield (
            files[path],
            Material(
                reference=references[path],
                name=path.rpartition(_MODULES)[2],
                version=str(manifest.get("version", "")),
                package_url=references[path],
                hashes=hashes_of(fetched[files[path]]),
                url=url_of(fetched[files[path]]),
                licences=_licences(manifest),
                needs=tuple(sorted(needed - {"", references[path]})),
            ),
        )


def _manifest(store: Store, made: Made, path: str) -> Mapping[str, Any]:
    try:
        document = json.loads((store.physical(made.output) / path / "package.json").read_bytes())
    except (OSError, ValueError):  # npm takes a package without one, too
        return {}
    return document if isinstance(document, dict) else {}


def _found(path: str, name: str, references: Mapping[str, str]) -> str:
    """What Node finds by a name from a place: the nearest one, outwards; empty where there is none."""
    places = [f"{path}/"]
    while places[-1]:
        places.append(places[-1].rpartition(_MODULES)[0])
    return next((references[at] for place in places if (at := f"{place}{_MODULES}{name}") in references), "")


def _licences(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """`license` is an expression of SPDX; older packages have an object, or several in a list that any may be chosen from."""
    told = manifest.get("license") or manifest.get("licenses")
    every = told if isinstance(told, list) else [told]
    names = [str(one.get("type") or "") if isinstance(one, dict) else one for one in every]
    return tuple(
        [spdx(" or ".join(name for name in names if name))] if all(isinstance(name, str) and name for name in names) else []
    )


def _package_url(path: str, manifest: Mapping[str, Any]) -> str:
    name = "/".join(quote(part, safe="") for part in path.rpartition(_MODULES)[2].split("/"))
    return f"pkg:npm/{name}@{quote(str(manifest.get('version', '')))}"
