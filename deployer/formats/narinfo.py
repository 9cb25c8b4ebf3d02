"""narinfo: what a binary cache says of a path, and the fingerprint that it signs (Nix: nar-info.cc, path-info.cc)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Final, List, Tuple

from deployer.errors import DeploymentError
from deployer.formats.contentaddress import ContentAddress
from deployer.formats.hashes import Hash, HashRefused
from deployer.formats.storepath import STORE_DIR, StorePath, StorePathRefused

_ONCE: Final = frozenset(
    {"StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize", "References", "Deriver", "CA"}
)
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class NarInfoRefused(DeploymentError):
    """What a cache says of a path is malformed."""

    name: str
    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the binary cache's description of {self.name} is malformed: {self.reason}"


@dataclass(frozen=True)
class NarInfo:
    """One path of a cache."""

    path: StorePath
    url: str
    """Of the compressed NAR, relative to the cache."""
    nar_hash: Hash
    nar_size: int
    references: Tuple[StorePath, ...] = ()
    compression: str = "bzip2"
    """What Nix takes where a narinfo does not say."""
    file_hash: str = ""
    """`sha256:` and base 32, of the compressed NAR; empty: not known."""
    file_size: int = 0
    deriver: str = ""
    """Base name; empty: not known."""
    signatures: Tuple[str, ...] = ()
    ca: str = ""

    def fingerprint(self) -> bytes:
        """What a cache's key signs."""
        references = ",".join(sorted(str(reference) for reference in self.references))
        return f"1;{self.path};{self.nar_hash.base32};{self.nar_size};{references}".encode()

    def serialize(self) -> str:
        """The file, as Nix writes it."""
        lines = [f"StorePath: {self.path}", f"URL: {self.url}", f"Compression: {self.compression}"]
        if self.file_hash:
            lines.append(f"FileHash: {self.file_hash}")
        if self.file_size:
            lines.append(f"FileSize: {self.file_size}")
        lines += [f"NarHash: {self.nar_hash.base32}", f"NarSize: {self.nar_size}"]
        lines.append("References: " + " ".join(sorted(reference.base_name for reference in self.references)))
        if self.deriver:
            lines.append(f"Deriver: {self.deriver}")
        lines += [f"Sig: {signature}" for signature in self.signatures]
        if self.ca:
            lines.append(f"CA: {self.ca}")
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str, name: str, store_dir: str = STORE_DIR) -> NarInfo:
        """Read the file; `name` is for messages. Raises `NarInfoRefused`."""
        try:
            return _parse(text, store_dir)
        except (ValueError, HashRefused, StorePathRefused) as error:
            raise NarInfoRefused(name, str(error)) from None


def _parse(text: str, store_dir: str) -> NarInfo:
    fields: Dict[str, str] = {}
    signatures: List[str] = []
    if not text.endswith("\n"):
        raise ValueError("its last line does not end")
    if _CONTROL.search(text):
        raise ValueError("it has control characters")
    for line in text[:-1].split("\n"):
        # A space follows the colon, also of an empty value; editors may have taken that one away.
        key, colon, value = line.partition(":")
        if not colon or value[:1] not in {" ", ""}:
            raise ValueError(f"{line[:80]!r} is not a field")
        value = value[1:]
        if key == "Sig":
            signatures.append(value)
        elif key in _ONCE and key in fields:
            raise ValueError(f"{key} stands twice")
        else:
            fields[key] = value
    for key in ("StorePath", "URL", "NarHash", "NarSize"):
        if not fields.get(key):
            raise ValueError(f"{key} is missing")
    nar_hash = Hash.parse(fields["NarHash"])
    if nar_hash.algorithm != "sha256":
        raise ValueError("NarHash is no SHA-256")
    deriver = fields.get("Deriver", "")
    deriver = "" if deriver == "unknown-deriver" else deriver
    if deriver:
        StorePath.parse_base(deriver, store_dir)
    if fields.get("CA"):
        ContentAddress.parse(fields["CA"])
    references = sorted(set(fields.get("References", "").split()))
    return NarInfo(
        StorePath.parse(fields["StorePath"], store_dir),
        fields["URL"],
        nar_hash,
        _positive("NarSize", fields["NarSize"]),
        tuple(StorePath.parse_base(reference, store_dir) for reference in references),
        fields.get("Compression") or "bzip2",
        Hash.parse(fields["FileHash"]).base32 if fields.get("FileHash") else "",
        _positive("FileSize", fields["FileSize"]) if fields.get("FileSize") else 0,
        deriver,
        tuple(signatures),
        fields.get("CA", ""),
    )


def _positive(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
        raise ValueError(f"{key} is not a positive number")
    return int(text)
