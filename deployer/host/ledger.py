"""The ledger: what on this host is ours, and what was there before.

It changes only when a transaction is confirmed: until then the next one lies beside the undo log, so that a rollback has
nothing to do with it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Dict, Final, Mapping, Optional, Tuple

from deployer.errors import JsonValue, NeedsPersonError
from deployer.formats.frames import FrameRefused, parse_document

FORMAT: Final = 1


class LedgerDamaged(NeedsPersonError):
    """The record of what is ours cannot be read."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"/var/lib/deployer/ledger.json cannot be read: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Put it back from a backup; without it deployer cannot tell its own files from yours."


@dataclass(frozen=True)
class Metadata:
    """What a file or directory has besides its content."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int = 0
    xattrs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Name to value, in base 64."""


@dataclass(frozen=True)
class Original:
    """What stood at a path before us."""

    kind: str
    """`file`, `link` or `directory`."""
    copy: str = ""
    """Of a file: where its content is kept, a path on the host."""
    target: str = ""
    """Of a link."""
    metadata: Metadata = Metadata(0o644, 0, 0)


@dataclass(frozen=True)
class OwnedPath:
    """One path below `/etc` that is ours."""

    kind: str
    """As in `manifest.EtcEntry`."""
    sha256: str = ""
    """Of the content of a `file`, as we wrote it."""
    target: str = ""
    """Of a link, as we made it."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    adopted: bool = False
    """Whether it was there before us just as declared: then it stays when it is no longer declared."""
    original: Optional[Original] = None
    """What was set aside for it."""


@dataclass(frozen=True)
class Ledger:
    """All that is ours on one host."""

    etc: Mapping[str, OwnedPath] = dataclasses.field(default_factory=dict)
    """By path relative to `/etc`, as in the manifest."""
    directories: Tuple[str, ...] = ()
    """Directories that we made to hold entries, as paths on the host: they go when they are empty."""
    users: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Accounts that we created, with their uid. A locked one stays here, so that it gets its uid back."""
    groups: Mapping[str, int] = dataclasses.field(default_factory=dict)
    memberships: Tuple[str, ...] = ()
    """`USER:GROUP`: supplementary memberships that we gave."""
    homes: Tuple[str, ...] = ()
    """Home directories that we made."""
    subordinates: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """`START:COUNT` of the subordinate ids that we gave to users."""
    sysctl: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Keys that we set, with the value from before us."""
    made: Tuple[str, ...] = ()
    """Paths elsewhere that we made: by tmpfiles, and `/nix` where there was none."""

    def to_bytes(self) -> bytes:
        """As JSON."""
        document = {"format": FORMAT, **dataclasses.asdict(self)}
        if not self.subordinates:
            del document["subordinates"]  # the runtime of an older generation knows no such key
        return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Ledger:
        """Parse what `to_bytes` wrote. Raises `LedgerDamaged`."""
        try:
            document: Dict[str, Any] = parse_document(data)
            if document.pop("format", None) != FORMAT:
                raise LedgerDamaged("it has another format; it was written by another version of deployer")
            document["etc"] = {path: _owned(item) for path, item in document["etc"].items()}
            for name in ("directories", "memberships", "homes", "made"):
                document[name] = tuple(document.get(name, ()))
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in document.items() if name in known})
        except (FrameRefused, TypeError, KeyError, AttributeError, ValueError) as error:
            raise LedgerDamaged(str(error)[:200]) from None


def original_from(document: JsonValue) -> Optional[Original]:
    """Parse an `Original` that was written as JSON."""
    if document is None:
        return None
    item: Any = document
    return Original(**{**item, "metadata": Metadata(**item["metadata"])})


def _owned(document: Any) -> OwnedPath:
    return OwnedPath(**{**document, "original": original_from(document.get("original"))})
