"""What `nix path-info --json` says of a path (Nix: store-api.cc, pathInfoToJSON)."""

from __future__ import annotations

from typing import Dict, Optional

from deployer.errors import JsonValue
from deployer.formats.hashes import Hash
from deployer.formats.pathstream import PathHeader

Record = Dict[str, JsonValue]


def path_record(
    header: PathHeader,
    *,
    encoding: str = "sri",
    closure_size: Optional[int] = None,
    registration_time: int = 0,
    ultimate: bool = False,
    download: Optional[Record] = None,
) -> Record:
    """A valid path's record, its keys in Nix's order; what is empty is left out, as there. `download` is of `download_record`."""
    record = build_record(header, encoding=encoding, closure_size=closure_size)
    if header.deriver:
        record["deriver"] = header.deriver
    if registration_time:
        record["registrationTime"] = registration_time
    if ultimate:
        record["ultimate"] = True
    if header.signatures:
        record["signatures"] = [*sorted(set(header.signatures))]
    return {**record, **(download or {})}


def build_record(header: PathHeader, *, encoding: str = "base32", closure_size: Optional[int] = None) -> Record:
    """The part that depends on nothing but the path: what a build gets by `exportReferencesGraph` of structured attributes."""
    record: Record = {
        "path": header.path,
        "narHash": _hash(header.nar_hash, encoding),
        "narSize": header.nar_size,
        "references": [*sorted(set(header.references))],
    }
    if header.ca:
        record["ca"] = header.ca
    if closure_size is not None:
        record["closureSize"] = closure_size
    return record


def download_record(
    url: str, file_hash: str = "", file_size: int = 0, *, closure_size: Optional[int] = None, encoding: str = "sri"
) -> Record:
    """What a binary cache adds: where the compressed NAR is, and how large; `closure_size` counts compressed bytes."""
    record: Record = {"url": url}
    if file_hash:
        record["downloadHash"] = _hash(file_hash, encoding)
    if file_size:
        record["downloadSize"] = file_size
    if closure_size is not None:
        record["closureDownloadSize"] = closure_size
    return record


def invalid_record(path: str) -> Record:
    """Of a path that is not in the store."""
    return {"path": path, "valid": False}


def _hash(text: str, encoding: str) -> str:
    parsed = Hash.parse(text)
    return parsed.sri if encoding == "sri" else f"{parsed.algorithm}:{parsed.to(encoding)}"
