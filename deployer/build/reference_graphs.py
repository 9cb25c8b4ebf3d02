"""`exportReferencesGraph`: closures that a build asks to be told about (Nix: `exportReferences`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from deployer.build.attributes import Attributes, strings_of
from deployer.build.errors import AttributeRefused
from deployer.build.graph import Node, read_derivation
from deployer.formats import StorePath
from deployer.store import Store

_NAME: Final = "exportReferencesGraph"
_FILE: Final = re.compile("[A-Za-z_][A-Za-z0-9_.-]*")


def reference_graphs(store: Store, node: Node, inputs: Collection[StorePath]) -> dict[str, Any]:
    """The graphs by name: texts, or documents where the attributes are structured. Raises `AttributeRefused`."""
    attributes = node.attributes
    if attributes.structured is None:
        words = attributes.strings(_NAME) or ()
        if len(words) % 2:
            raise AttributeRefused(attributes.shown, _NAME, "must be pairs of a name and a path")
        graphs = {}
        for name, path in zip(words[::2], words[1::2], strict=True):
            if not _FILE.fullmatch(name):
                raise AttributeRefused(attributes.shown, _NAME, f"has the name {name!r}, which is none of a file")
            graphs[name] = _registration(store, _exported(store, attributes, [path], inputs))
        return graphs
    asked = attributes.structured.get(_NAME)
    if not isinstance(asked, dict):
        return {}
    return {
        name: _document(store, _exported(store, attributes, strings_of(paths, attributes.shown, _NAME), inputs))
        for name, paths in asked.items()
    }


def _exported(store: Store, attributes: Attributes, paths: Iterable[str], inputs: Collection[StorePath]) -> list[StorePath]:
    wanted = [_path_of(store, attributes, path) for path in paths]
    known = set(inputs)
    for path in wanted:
        if path not in known:
            raise AttributeRefused(attributes.shown, _NAME, f"names {path}, which is not in the closure of its inputs")
    found = set(store.closure(wanted))
    # A derivation in the graph stands for its outputs too: all that is needed to build something.
    for path in [path for path in found if path.name.endswith(".drv")]:
        outputs = (output.path for output in read_derivation(store, str(path)).outputs.values())
        found |= set(store.closure([output for output in outputs if store.is_valid(output)]))
    return sorted(found, key=lambda path: path.base_name)


def _path_of(store: Store, attributes: Attributes, text: str) -> StorePath:
    prefix = f"{store.store_dir}/"
    if not text.startswith(prefix):
        raise AttributeRefused(attributes.shown, _NAME, f"names {text!r}, which is not in the store")
    return StorePath.parse(prefix + text.removeprefix(prefix).partition("/")[0], store.store_dir)


def _registration(store: Store, paths: Iterable[StorePath]) -> str:
    """As `nix-store --register-validity` reads it, without hashes and derivers."""
    lines: list[str] = []
    for path in paths:
        references = store.query(path).references
        lines += [str(path), "", str(len(references)), *references]
    return "".join(f"{line}\n" for line in lines)


def _document(store: Store, paths: Iterable[StorePath]) -> list[dict[str, Any]]:
    document = []
    for path in paths:
        info = store.query(path)
        item: dict[str, Any] = {
            "path": info.path,
            "narHash": info.nar_hash,
            "narSize": info.nar_size,
            "references": list(info.references),
            "closureSize": sum(store.query(other).nar_size for other in store.closure([path])),
        }
        document.append({**item, "ca": info.ca} if info.ca else item)
    return document
