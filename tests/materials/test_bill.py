"""Bills of materials, of packages that are really built, by the schema of their format."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from deployer.build import realise
from deployer.materials.document import cyclonedx_document
from deployer.materials.errors import BillLibraryMissing
from deployer.materials.listing import list_materials
from deployer.materials.material import Material
from deployer.packages import PackageSet, mirrors
from deployer.packages.derivation_inputs import make_derivation, make_source
from deployer.packages.recipes import NixRecipe
from deployer.store import Store
from tests.build.test_python_environment import VERSION, root  # noqa: F401
from tests.cli.conftest import deployer  # noqa: F401
from tests.materials.test_licences import COPYRIGHT
from tests.packages.repository import Repository
from tests.tarballs import make_tarball
from tests.wheels import make_wheel, sha256

PACKAGES = """
tool: {kind: debian, suite: testing, packages: [tool]}
page: {kind: fetch, file: page.txt, version: "2"}
words: {kind: archive, package: packed}
packed: {kind: fetch, url: "%s", hash: "%s"}
"""


@pytest.fixture
def project(deployer, tmp_path, keys, monkeypatch):  # noqa: F811
    """Packages of three kinds, locked; the Debian ones come from a repository in a directory."""
    monkeypatch.setattr(mirrors, "_KEYRINGS", (keys[1],))
    monkeypatch.setenv(mirrors.VARIABLE, f"file://{tmp_path}/mirror")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "mirror").mkdir()
    suite = Repository(tmp_path / "mirror", keys[1], keys[0])
    suite.add("tool", "1:1.0+x-1", files={"usr/share/doc/tool/copyright": COPYRIGHT}, Depends="virtual (>= 1) | other, lib")
    suite.add("lib", "1.0", files={"usr/share/doc/lib/copyright": "Free, whatever that means."}, Provides="virtual (= 2)")
    suite.publish()
    work = tmp_path / "work"
    (work / "page.txt").write_text("a page")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "word").write_text("a word")
    archive = shutil.make_archive(str(tmp_path / "words"), "tar", tmp_path / "tree")
    (work / "inventory.yaml").write_text("packages: packages.yaml\nhosts: {web1: {}}\n")
    (work / "packages.yaml").write_text(PACKAGES % (f"file://{archive}", sri(archive)))
    assert deployer("lock").code == 0
    return deployer


def sri(file: str) -> str:
    """The hash of a file as packages.yaml has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(Path(file).read_bytes()).digest()).decode()


def valid(text: str) -> Any:
    """The document, which is one by the strict schema of the library that wrote it."""
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


@pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
def test_a_bill_tells_all_that_packages_are_made_from(project, tmp_path, monkeypatch):
    pytest.importorskip("cyclonedx")

    answer = project("package", "sbom", "tool", "page", "words")

    assert answer.code == 0, answer.err
    bill = valid(answer.out)
    components = {component["name"]: component for component in bill["components"]}
    assert set(components) == {"tool", "lib", "page", "page.txt", "words", "packed"}
    urls = sorted(component["purl"] for component in bill["components"] if "purl" in component)
    assert urls == [
        "pkg:deb/debian/lib@1.0?arch=amd64&distro=testing",
        "pkg:deb/debian/tool@1:1.0%2Bx-1?arch=amd64&distro=testing",
    ]
    by_reference = {component["bom-ref"]: component for component in bill["components"]}
    tool = by_reference[urls[1]]
    assert tool["hashes"] == [{"alg": "SHA-256", "content": sha256(tmp_path / "mirror/pool/tool_1:1.0+x-1_amd64.deb")}]
    assert tool["licenses"] == [{"expression": "(GPL-2.0-or-later OR Artistic-1.0) AND MIT"}]
    assert "licenses" not in by_reference[urls[0]]
    assert components["packed"]["externalReferences"][0]["url"].endswith("/words.tar")
    assert components["page"]["version"] == "2"
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert needs[urls[1]] == [urls[0]]
    assert len(needs["closure"]) == 3
    assert needs[components["words"]["bom-ref"]] == [components["packed"]["bom-ref"]]
    runs = {name: {one["name"]: one["value"] for one in part["properties"]}["deployer:runs"] for name, part in components.items()}
    assert {name for name, value in runs.items() if value == "false"} == {"packed", "page.txt"}

    assert "timestamp" not in bill["metadata"]
    assert project("package", "sbom", "tool", "page", "words", "-o", "bill.json").code == 0
    assert (tmp_path / "work" / "bill.json").read_text() == answer.out
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert valid(project("package", "sbom", "tool").out)["metadata"]["timestamp"].startswith("1970-01-02T00:00:00")


async def test_wheels_are_told_with_licences_and_what_they_need(root, tmp_path):  # noqa: F811
    told = {
        "app": "License-Expression: MIT\nRequires-Dist: Some.Lib (>=1)\nRequires-Dist: more; extra == 'all'\n",
        "some_lib": "",
    }
    files = [make_wheel(tmp_path, name, {f"{name}.py": "x = 1\n"}, metadata=metadata) for name, metadata in told.items()]
    wheels = [make_source(file, store_dir="/nix/store", ignored=frozenset()) for file in files]
    interpreter = make_source(root, store_dir="/nix/store", ignored=frozenset())
    parts = [{"name": wheel.origin.name, "file": str(wheel.path)} for wheel in wheels]
    made = make_derivation(
        "shop",
        builder="builtin:python-environment",
        system="builtin",
        environment={"interpreter": str(interpreter.path), "version": VERSION, "wheels": json.dumps(parts)},
        sources=(*wheels, interpreter),
        store_dir="/nix/store",
    )
    packages = PackageSet({})
    store = Store(tmp_path / "root", "/nix/store")
    packages.write(store, [made])
    await realise(store, [made.path])

    found = {material.name: material for material in list_materials(packages, store, [made])}

    app, lib = found["app"], found["some-lib"]
    assert app.package_url == "pkg:pypi/app@1.0?file_name=app-1.0-py3-none-any.whl"
    assert (app.licences, app.needs, app.runs, app.hashes) == (("MIT",), (lib.reference,), True, (("sha256", sha256(files[0])),))
    assert set(found) == {"app", "some-lib", "shop", "root"}
    assert set(found["shop"].needs) == {app.reference, lib.reference, found["root"].reference}


async def test_npm_packages_are_told_by_their_places(tmp_path):
    speak = make_tarball(tmp_path, "@a/speak", {}, license="MIT", dependencies={"word": "1", "loud": "1"})
    inner = make_tarball(tmp_path, "word", {}, license={"type": "ISC"})
    outer = make_tarball(tmp_path, "word", {}, version="2.0.0", licenses=[{"type": "MIT"}, {"type": "Apache-2.0"}])
    loud = make_tarball(tmp_path, "loud", {}, dependencies={"word": "2"})
    places = {"@a/speak": speak, "@a/speak/node_modules/word": inner, "word": outer, "loud": loud}
    fetched = {place: fetch(file) for place, file in places.items()}
    parts = [{"path": f"node_modules/{place}", "file": str(made.output)} for place, made in fetched.items()]
    made = make_derivation(
        "site",
        builder="builtin:node-project",
        system="builtin",
        environment={"packages": json.dumps(parts), "programs": "[]"},
        inputs=tuple(fetched.values()),
        store_dir="/nix/store",
    )
    packages, store = PackageSet({}), Store(tmp_path / "root", "/nix/store")
    packages.write(store, [made])
    await realise(store, [made.path])

    found = {material.reference: material for material in list_materials(packages, store, [made])}

    assert {reference: material.licences for reference, material in found.items() if material.package_url} == {
        "pkg:npm/%40a/speak@1.0.0": ("MIT",),
        "pkg:npm/word@1.0.0": ("ISC",),
        "pkg:npm/word@2.0.0": ("MIT OR Apache-2.0",),
        "pkg:npm/loud@1.0.0": (),
    }
    assert found["pkg:npm/%40a/speak@1.0.0"].needs == ("pkg:npm/loud@1.0.0", "pkg:npm/word@1.0.0")
    assert found["pkg:npm/loud@1.0.0"].needs == ("pkg:npm/word@2.0.0",)
    assert len(found) == 5


async def test_what_a_path_of_a_binary_cache_refers_to_is_told_by_store_paths(tmp_path):
    store = Store(tmp_path / "root", "/nix/store")
    (tmp_path / "lib").write_text("a library")
    needed = make_source(tmp_path / "lib", store_dir="/nix/store", ignored=frozenset())
    entries = json.dumps([{"path": "", "type": "symlink", "target": str(needed.path)}])
    program = make_derivation(
        "program",
        builder="builtin:tree",
        system="builtin",
        environment={"entries": entries},
        sources=(needed,),
        store_dir="/nix/store",
    )
    PackageSet({}).write(store, [program])
    await realise(store, [program.path])
    path = str(program.output)
    packages = PackageSet({"linked": NixRecipe(name="linked", path=path)})
    made = packages.made("linked")
    packages.write(store, [made])
    await realise(store, [made.path])

    found = {material.name: material for material in list_materials(packages, store, [made])}

    assert {name: material.runs for name, material in found.items()} == {"linked": True, "program": True, "lib": True}
    assert found["linked"].needs == (found["program"].reference,)
    assert found["program"].needs == (found["lib"].reference,)
    assert found["lib"].store_path == str(needed.path)


def fetch(file):
    """The derivation of a file that has a URL."""
    environment = {"url": file.as_uri(), "urls": file.as_uri(), "executable": "", "unpack": ""}
    fixed = ("sha256", hashlib.sha256(file.read_bytes()).digest())
    return make_derivation(
        file.name, builder="builtin:fetchurl", system="builtin", environment=environment, fixed=fixed, store_dir="/nix/store"
    )


def test_licences_are_one_expression_or_each_by_itself():
    pytest.importorskip("cyclonedx")
    cases = {"a": ("MIT",), "b": ("MIT OR ISC", "Zlib"), "c": ("MIT OR ISC", "custom", "Zlib"), "d": ()}
    materials = [Material(reference=name, name=name, licences=licences) for name, licences in cases.items()]

    bill = valid(cyclonedx_document(materials, ["all"], cases))

    assert {component["name"]: component.get("licenses") for component in bill["components"]} == {
        "a": [{"license": {"id": "MIT"}}],
        "b": [{"expression": "(MIT OR ISC) AND Zlib"}],
        "c": [{"license": {"id": "Zlib"}}, {"license": {"name": "MIT OR ISC"}}, {"license": {"name": "custom"}}],
        "d": None,
    }


def test_without_the_library_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclonedx.model.bom", None)

    with pytest.raises(BillLibraryMissing) as caught:
        cyclonedx_document([], ["x"], [])

    assert "deployer[sbom]" in caught.value.remedy
