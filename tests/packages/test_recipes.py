"""Reading packages.yaml."""

import pytest

from deployer.errors import DeployerError, ManyErrors
from deployer.packages.errors import PackageInvalid
from deployer.packages.loading import read_package_file
from deployer.packages.recipes import ArchiveRecipe, BuildRecipe, DebianRecipe, FetchRecipe

HASH = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        (tmp_path / "packages.yaml").write_text(text)
        return read_package_file(tmp_path / "packages.yaml").recipes

    return read_text


def test_every_kind_is_read(read, tmp_path):
    recipes = read(f"""
motd: {{kind: fetch, file: motd.txt}}
tool: {{kind: fetch, url: "https://example.org/tool", hash: {HASH}, executable: true}}
tree: {{kind: archive, url: "https://example.org/t.tar.gz", hash: {HASH}, strip_components: 1}}
again: {{kind: archive, package: tool}}
toolchain: {{kind: debian, suite: bookworm, packages: [gcc, make], links: {{usr/bin/cc: gcc}}}}
hello: {{kind: build, source: ./src, script: make, toolchain: toolchain, inputs: [tree], environment: {{A: "1"}}}}
""")

    assert recipes["motd"] == FetchRecipe(name="motd", file=tmp_path / "motd.txt")
    assert recipes["tool"] == FetchRecipe(name="tool", url="https://example.org/tool", hash=HASH, executable=True)
    archive = FetchRecipe(name="t.tar.gz", url="https://example.org/t.tar.gz", hash=HASH)
    assert recipes["tree"] == ArchiveRecipe(name="tree", source=archive, strip_components=1)
    assert recipes["again"] == ArchiveRecipe(name="again", source="tool")
    assert recipes["toolchain"] == DebianRecipe(
        name="toolchain", suites=("bookworm",), packages=("gcc", "make"), links={"usr/bin/cc": "gcc"}
    )
    assert recipes["hello"] == BuildRecipe(
        name="hello", source=tmp_path / "./src", script="make", toolchain="toolchain", inputs=("tree",), environment={"A": "1"}
    )
    assert str(recipes["hello"].place).endswith(":7:1")


@pytest.mark.parametrize(
    ("text", "message", "remedy", "line"),
    [
        ("a: {kind: biuld}", "there is no kind 'biuld'", "'build'", 1),
        ("a: 3", "must be a mapping", "", 1),
        ("a: {}", "lacks the key 'kind'", "", 1),
        ("a:\n  kind: build\n  scirpt: make\n  toolchain: t", "lacks the key 'script'|no key 'scirpt'", "", 1),
        ("a:\n  kind: debian\n  suite: x\n  packages: [p]\n  lniks: {}", "no key 'lniks'", "'links'", 5),
        ("a:\n  kind: fetch\n  url: http://x/y", "must be pinned", "hash: sha256-", 3),
        ("a:\n  kind: fetch\n  url: http://x/y\n  hash: md5-1", "is no hash", "base 64", 4),
        ("a: {kind: fetch}", "either 'url' or 'file'", "", 1),
        ("a:\n  kind: archive\n  package: p\n  strip_components: -1", "from 0 on", "", 4),
        ("a:\n  kind: debian\n  suite: x\n  packages: [1]", "list of strings", "", 4),
        ("a:\n  kind: build\n  script: x\n  toolchain: t\n  environment: {out: x}", "cannot be set", "", 5),
        ("a b: {kind: fetch}", "its name must be", "", 1),
        ("a: {kind: fetch, file: x}\na: {kind: fetch, file: y}", "defined twice", "", 2),
        ("a:\n  kind: [", "not YAML", "", 2),
        ("- a", "is a mapping, and this is a list", "", 1),
    ],
)
def test_an_error_tells_where_and_what_to_write(read, text, message, remedy, line):
    with pytest.raises(DeployerError, match=message) as caught:
        read(text)

    first = caught.value.errors[0] if isinstance(caught.value, ManyErrors) else caught.value
    assert first.location is not None
    assert first.location.line == line
    assert first.remedy
    assert remedy in first.remedy


def test_all_errors_of_a_file_are_told_together(read):
    with pytest.raises(ManyErrors) as caught:
        read("a: {kind: fetch}\nb: {kind: nothing}\nc: {kind: fetch, file: x, more: 1, most: 2}")

    assert [getattr(error, "package", "") for error in caught.value.errors] == ["a", "b", "c", "c"]
    assert all(isinstance(error, PackageInvalid) for error in caught.value.errors)


def test_an_empty_file_has_no_packages(read):
    assert read("") == {}
