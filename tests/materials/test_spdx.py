"""Bills of materials in SPDX, judged by the library that others read them with."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from typing import Any

import pytest

from deployer.materials.errors import BillLibraryMissing
from deployer.materials.material import Material
from deployer.materials.spdx_document import spdx_document
from tests.cli.conftest import deployer  # noqa: F401
from tests.materials.test_bill import project  # noqa: F401

LIB = Material(
    reference="pkg:deb/debian/lib@1:1.0%2Bx?arch=amd64&distro=testing",
    name="lib",
    version="1:1.0+x",
    package_url="pkg:deb/debian/lib@1:1.0%2Bx?arch=amd64&distro=testing",
    hashes=(("sha256", "ab" * 32),),
    runs=True,
)
ARCHIVE = Material(reference="0000-words.tar", name="words", is_file=True, url="https://example.org/words.tar")
TREE = Material(
    reference="0000-tree", name="tree", store_path="/nix/store/0000-tree", runs=True, needs=(LIB.reference, ARCHIVE.reference)
)


def valid(text: str) -> Any:
    """The document, which the library reads and finds nothing wrong with."""
    parser = pytest.importorskip("spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser")
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = json.loads(text)
    assert validate_full_spdx_document(parser.JsonLikeDictParser().parse(document)) == []
    return document


def packages_of(document: Any) -> dict[str, Any]:
    """By name."""
    return {package["name"]: package for package in document["packages"]}


def test_materials_are_packages_with_hashes_urls_and_what_needs_what():
    pytest.importorskip("spdx_tools")

    bill = valid(spdx_document([LIB, ARCHIVE, TREE], ["tree"], [TREE.reference]))

    lib, archive, tree = (packages_of(bill)[name] for name in ("lib", "words", "tree"))
    assert (bill["spdxVersion"], bill["name"]) == ("SPDX-2.3", "tree")
    assert lib["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]
    assert [reference["referenceLocator"] for reference in lib["externalRefs"]] == [LIB.package_url]
    assert (archive["downloadLocation"], archive["primaryPackagePurpose"]) == ("https://example.org/words.tar", "FILE")
    assert tree["comment"] == "deployer:runs=true\ndeployer:store-path=/nix/store/0000-tree"
    told = {(one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"]) for one in bill["relationships"]}
    assert told == {
        ("SPDXRef-DOCUMENT", "DESCRIBES", tree["SPDXID"]),
        (tree["SPDXID"], "DEPENDS_ON", lib["SPDXID"]),
        (archive["SPDXID"], "BUILD_DEPENDENCY_OF", tree["SPDXID"]),
    }


def test_a_url_that_the_format_has_no_place_for_is_told_in_words():
    pytest.importorskip("spdx_tools")
    local = replace(ARCHIVE, url="file:///srv/words.tar")

    (archive,) = valid(spdx_document([local], ["x"], [local.reference]))["packages"]

    assert (archive["downloadLocation"], archive["sourceInfo"]) == ("NOASSERTION", "fetched from file:///srv/words.tar")


@pytest.mark.parametrize(
    ("licences", "declared"),
    [
        ((), "NOASSERTION"),
        (("MIT",), "MIT"),
        (("MIT OR ISC", "Zlib"), "(MIT OR ISC) AND Zlib"),
        (("GPL-2.0-or-later WITH Classpath-exception-2.0",), "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        (("BSD", "MIT"), "LicenseRef-BSD-49d9777d AND MIT"),
        (("Free, whatever (that) means",), "LicenseRef-Free-whatever-that-means-"),
        (("GPL-2.0-or-later OR (unclosed",), "LicenseRef-GPL-2.0-or-later-OR-unclosed-"),
        (("§",), "LicenseRef-"),
        (("()",), "LicenseRef-"),
    ],
)
def test_licences_are_an_expression_and_unknown_ones_have_names_that_are_explained(licences, declared):
    pytest.importorskip("spdx_tools")

    bill = valid(spdx_document([replace(LIB, licences=licences)], ["lib"], [LIB.reference]))

    assert bill["packages"][0]["licenseDeclared"].startswith(declared)
    known = {"MIT", "MIT OR ISC", "Zlib", "GPL-2.0-or-later WITH Classpath-exception-2.0"}
    assert [one["extractedText"] for one in bill.get("hasExtractedLicensingInfos", [])] == sorted({*licences} - known)


def test_equal_materials_give_an_equal_bill_with_the_time_that_is_given():
    pytest.importorskip("spdx_tools")
    first, again, other, later = (
        spdx_document(materials, ["x"], [LIB.reference], timestamp=timestamp)
        for materials, timestamp in [([LIB], None), ([LIB], None), ([replace(LIB, version="2")], None), ([LIB], 86400)]
    )

    assert first == again
    assert valid(first)["documentNamespace"] != valid(other)["documentNamespace"]
    assert valid(first)["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    assert valid(later)["creationInfo"]["created"] == "1970-01-02T00:00:00Z"


@pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
def test_a_bill_of_packages_that_are_really_built_is_valid(project):  # noqa: F811
    pytest.importorskip("spdx_tools")

    answer = project("package", "sbom", "--format", "spdx", "tool", "page", "words")

    assert answer.code == 0, answer.err
    bill = valid(answer.out)
    packages = packages_of(bill)
    assert set(packages) == {"tool", "lib", "page", "page.txt", "words", "packed"}
    debs = {package["versionInfo"]: package for package in bill["packages"] if "externalRefs" in package}
    assert debs["1:1.0+x-1"]["licenseDeclared"] == "(GPL-2.0-or-later OR Artistic-1.0) AND MIT"
    assert debs["1.0"]["licenseDeclared"] == "NOASSERTION"


def test_without_the_library_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "spdx_tools.spdx.model", None)

    with pytest.raises(BillLibraryMissing, match="spdx-tools is not installed") as caught:
        spdx_document([], ["x"], [])

    assert "deployer[sbom]" in caught.value.remedy
