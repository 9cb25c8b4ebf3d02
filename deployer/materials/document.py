"""A list of materials as a CycloneDX document, written by cyclonedx-python-lib, which is imported only here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from deployer import __version__
from deployer.materials.errors import BillLibraryMissing
from deployer.materials.material import Material

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_NAMESPACE: Final = uuid.UUID("6f2d7f4c-9f0e-5f0b-8d53-2a6b9c1f4e77")
"""Of serial numbers: the same list has the same number."""
_ROOT: Final = "closure"
_ALGORITHMS: Final = {"sha256": "SHA_256", "sha512": "SHA_512", "sha1": "SHA_1", "md5": "MD5"}


def cyclonedx_document(
    materials: Sequence[Material], names: Sequence[str], roots: Iterable[str], *, timestamp: int | None = None
) -> str:
    """The document as JSON (CycloneDX 1.6): equal materials give equal text.

    `names` are what the bill is of, and `roots` their references. `timestamp`, in seconds since 1970, is written where it is
    given. Raises `BillLibraryMissing`.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.model.dependency import Dependency
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError:
        raise BillLibraryMissing("cyclonedx-python-lib") from None

    components = {material.reference: _component(material) for material in materials}
    whole = Component(name=" ".join(names), type=ComponentType.APPLICATION, bom_ref=_ROOT)
    tool = Component(name="deployer", version=__version__, type=ComponentType.APPLICATION)
    needs = [(whole, sorted(roots)), *((components[material.reference], material.needs) for material in materials)]
    bom = Bom(
        components=components.values(),
        serial_number=uuid.uuid5(_NAMESPACE, "\n".join([*names, *map(repr, materials)])),
        metadata=BomMetaData(
            component=whole, tools=_tools(tool), timestamp=datetime.fromtimestamp(0 if timestamp is None else timestamp, UTC)
        ),
        dependencies=[
            Dependency(
                ref=component.bom_ref,
                dependencies=[Dependency(ref=components[need].bom_ref) for need in needed if need in components],
            )
            for component, needed in needs
        ],
    )
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    if timestamp is None:
        del document["metadata"]["timestamp"]  # the library always writes one
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _tools(tool: Component) -> Any:
    from cyclonedx.model.tool import ToolRepository

    return ToolRepository(components=[tool])


def _component(material: Material) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    properties = [Property(name="deployer:runs", value="true" if material.runs else "false")]
    if material.store_path:
        properties.append(Property(name="deployer:store-path", value=material.store_path))
    source = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(material.url))] if material.url else []
    return Component(
        name=material.name,
        version=material.version or None,
        type=ComponentType.FILE if material.is_file else ComponentType.LIBRARY,
        bom_ref=material.reference,
        purl=PackageURL.from_string(material.package_url) if material.package_url else None,
        hashes=[HashType(alg=HashAlgorithm[_ALGORITHMS[algorithm]], content=digest) for algorithm, digest in material.hashes],
        licenses=_licences(material.licences),
        external_references=source,
        properties=properties,
    )


def _licences(texts: Sequence[str]) -> list[Any]:
    """One expression where all are SPDX's and any is one; else each by itself. The format has no mixture of the two."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_expression, is_supported_id

    if all(is_expression(text) for text in texts) and any(not is_supported_id(text) for text in texts):
        return [LicenseExpression(" AND ".join(f"({text})" if " " in text and len(texts) > 1 else text for text in texts))]
    return [DisjunctiveLicense(id=text) if is_supported_id(text) else DisjunctiveLicense(name=text) for text in texts]
