"""A list of materials as an SPDX document, written by spdx-tools, which is imported only here."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from deployer import __version__
from deployer.materials.errors import BillLibraryMissing
from deployer.materials.material import Material

if TYPE_CHECKING:
    from license_expression import LicenseExpression, Licensing
    from spdx_tools.spdx.model import ExtractedLicensingInfo, Package, Relationship

_NAMESPACE: Final = uuid.UUID("b5a0f3a4-3a0e-5c52-9a55-8f1a6f2d0b61")
"""Of documents: the same list has the same name in the world."""
_DOCUMENT: Final = "SPDXRef-DOCUMENT"
_OTHERS: Final = re.compile(r"[^0-9A-Za-z.-]+")
"""What an SPDX identifier can't have."""
_LIBRARY: Final = "spdx-tools"


def spdx_document(
    materials: Sequence[Material], names: Sequence[str], roots: Iterable[str], *, timestamp: int | None = None
) -> str:
    """The document as JSON (SPDX 2.3): equal materials give equal text.

    `names` are what the bill is of, and `roots` their references. The format wants a `timestamp`, in seconds since 1970: without
    one it is 1970. Raises `BillLibraryMissing`.
    """
    try:
        from spdx_tools.common.spdx_licensing import spdx_licensing
        from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
        from spdx_tools.spdx.model import Actor, ActorType, CreationInfo, Document
    except ImportError:
        raise BillLibraryMissing(_LIBRARY) from None

    licences = _Licences(spdx_licensing)
    known = {material.reference: material for material in materials}
    identity = uuid.uuid5(_NAMESPACE, "\n".join([*names, *map(repr, materials)]))
    packages = [_package(material, licences) for material in materials]
    document = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=" ".join(names),
            document_namespace=f"urn:uuid:{identity}",
            creators=[Actor(ActorType.TOOL, f"deployer-{__version__}")],
            created=datetime.fromtimestamp(timestamp or 0, UTC).replace(tzinfo=None),
        ),
        packages=packages,
        relationships=list(_relationships(known, roots)),
        extracted_licensing_info=licences.extracted(),
    )
    converter: Any = DocumentConverter  # it has no types
    converted: Mapping[str, Any] = converter().convert(document)
    return json.dumps(converted, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _identifier(reference: str) -> str:
    """Readable, and as unique as the reference is."""
    name = _OTHERS.sub("-", reference.partition("?")[0]).strip("-")
    return f"SPDXRef-{name}-{hashlib.sha256(reference.encode()).hexdigest()[:8]}"


def _package(material: Material, licences: _Licences) -> Package:
    from spdx_tools.spdx.model import (
        Checksum,
        ChecksumAlgorithm,
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
        PackagePurpose,
        SpdxNoAssertion,
    )
    from spdx_tools.spdx.validation.uri_validators import validate_download_location

    unknown = SpdxNoAssertion()
    properties = [f"deployer:runs={'true' if material.runs else 'false'}"]
    if material.store_path:
        properties.append(f"deployer:store-path={material.store_path}")
    manager = ExternalPackageRefCategory.PACKAGE_MANAGER
    declared = licences.expression(material.licences)
    return Package(
        spdx_id=_identifier(material.reference),
        name=material.name,
        version=material.version or None,
        # The format has no files of this machine, nor names without dots.
        download_location=material.url if material.url and not validate_download_location(material.url) else unknown,
        source_info=f"fetched from {material.url}" if material.url else None,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm[algorithm.upper()], digest) for algorithm, digest in material.hashes],
        license_concluded=unknown,
        license_declared=unknown if declared is None else declared,
        copyright_text=unknown,
        comment="\n".join(properties),
        external_references=[ExternalPackageRef(manager, "purl", material.package_url)] if material.package_url else [],
        primary_package_purpose=PackagePurpose.FILE if material.is_file else PackagePurpose.LIBRARY,
    )


def _relationships(known: Mapping[str, Material], roots: Iterable[str]) -> Iterator[Relationship]:
    from spdx_tools.spdx.model import Relationship, RelationshipType

    for root in sorted(roots):
        yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _identifier(root))
    for material in known.values():
        for need in material.needs:
            if need not in known:
                continue
            ours, other = _identifier(material.reference), _identifier(need)
            if known[need].runs:
                yield Relationship(ours, RelationshipType.DEPENDS_ON, other)
            else:
                yield Relationship(other, RelationshipType.BUILD_DEPENDENCY_OF, ours)


class _Licences:
    """Licences as expressions; those that are not on SPDX's list get names of their own, which the document explains."""

    def __init__(self, licensing: Licensing) -> None:
        """`licensing` knows SPDX's list."""
        self._licensing = licensing
        self._own: dict[str, str] = {}

    def expression(self, texts: Sequence[str]) -> LicenseExpression | None:
        """All of the texts as one expression; None where there are none."""
        if not texts:
            return None
        parts = [text if self._is_known(text) else self._own_name(text) for text in texts]
        joined = " AND ".join(f"({part})" if " " in part and len(parts) > 1 else part for part in parts)
        return self._licensing.parse(joined)

    def extracted(self) -> list[ExtractedLicensingInfo]:
        """What the names of our own stand for."""
        from spdx_tools.spdx.model import ExtractedLicensingInfo

        remark = "The package names its licence so. The text is in the package."
        return [
            ExtractedLicensingInfo(license_id=own, extracted_text=text, license_name=text, comment=remark)
            for text, own in sorted(self._own.items())
        ]

    def _is_known(self, text: str) -> bool:
        # Packages write what they like, and the library fails on some of it otherwise than with its own errors.
        try:
            self._licensing.parse(text, validate=True, strict=True)
        except Exception:
            return False
        return True

    def _own_name(self, text: str) -> str:
        name = _OTHERS.sub("-", text).strip("-")[:40]
        return self._own.setdefault(text, f"LicenseRef-{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")
