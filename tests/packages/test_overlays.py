"""Overlays in files: what they change, in which order, and what is wrong with them."""

from __future__ import annotations

import pytest

from deployer.errors import DeployerError, ManyErrors
from deployer.packages import PackageSet

OLD = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
NEW = "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
PACKAGES = f"""
overlays: [first.yaml, second.py, third.yaml]
toolchain: {{kind: archive, file: toolchain.tar}}
lib: {{kind: build, version: "1.0", toolchain: toolchain, script: make, source: src, flags: [--one], environment: {{A: a, B: b}}}}
src: {{kind: archive, version: "1.0", url: "https://example.org/lib-${{version}}.tar.gz", hash: {OLD}, strip_components: 1}}
app: {{kind: build, toolchain: toolchain, script: make, inputs: [lib]}}
other: {{kind: build, toolchain: toolchain, script: make}}
"""
SECOND = """
from dataclasses import replace

def overlay(final, prev):
    return {"app": replace(prev["app"], script=prev["lib"].script + " app")}
"""


@pytest.fixture
def load(tmp_path):
    """A set of packages.yaml with overlays of the given texts."""

    def load_set(first="", second=SECOND, third="", packages=PACKAGES):
        files = {"first.yaml": first, "second.py": second, "third.yaml": third, "packages.yaml": packages}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        for name in ("toolchain.tar", "one.patch", "two.patch"):
            (tmp_path / name).write_text(name)
        return PackageSet.load(tmp_path / "packages.yaml")

    return load_set


def test_an_overlay_changes_the_keys_that_it_names_and_adds_to_patches_flags_and_environment(load, tmp_path):
    recipe = load(
        first="lib: {version: '1.1', patches: [one.patch], flags: [--two], environment: {B: c, C: d}}",
        third="lib: {patches: [two.patch]}",
    ).recipes["lib"]

    assert (recipe.version, recipe.script, recipe.source, recipe.toolchain) == ("1.1", "make", "src", "toolchain")
    assert recipe.patches == (tmp_path / "one.patch", tmp_path / "two.patch")
    assert recipe.flags == ("--one", "--two")
    assert recipe.environment == {"A": "a", "B": "c", "C": "d"}


def test_overlays_are_laid_on_in_their_order_whatever_they_are_written_in(load):
    recipes = load(first="lib: {script: make first}", third="app: {version: '3'}").recipes

    assert (recipes["app"].script, recipes["app"].version) == ("make first app", "3")
    assert load(third="lib: {script: make third}").recipes["app"].script == "make app"


def test_a_new_version_of_an_archive_changes_where_it_comes_from(load):
    packages = load(first=f"src: {{version: '2.0', hash: {NEW}}}")
    archive = packages.made("src").inputs[0].derivation

    assert archive.environment["url"] == "https://example.org/lib-2.0.tar.gz"
    assert packages.output_path("src").endswith("-src-2.0")
    assert packages.recipes["src"].strip_components == 1


def test_an_overlay_may_replace_a_package_and_add_others(load):
    recipes = load(
        second="def overlay(final, prev): return {}",
        first="lib: {kind: fetch, file: one.patch}\nmore: {kind: build, toolchain: toolchain, script: x, inputs: [lib]}",
    ).recipes

    assert "one.patch" in str(recipes["lib"].file)
    assert recipes["more"].inputs == ("lib",)


def test_what_needs_a_changed_package_is_made_anew_and_nothing_else(load):
    plain, changed = load(), load(first="lib: {patches: [one.patch]}")

    differ = {name for name in plain.names() if plain.output_path(name) != changed.output_path(name)}
    assert differ == {"lib", "app"}


@pytest.mark.parametrize(
    ("texts", "message", "remedy", "where"),
    [
        ({"first": "libb: {script: x}"}, "there is no package 'libb'", "'lib'", "first.yaml:1:1"),
        ({"first": "lib:\n  scirpt: x"}, "no key 'scirpt'", "'script'", "first.yaml:2:3"),
        ({"first": "lib:\n  flags: [a b]"}, "cannot have white space", "environment", "first.yaml:2:3"),
        ({"first": "lib:\n  version: ../x"}, "is no version", "letters", "first.yaml:2:3"),
        ({"first": "src:\n  version: '2.0'"}, "must be pinned by a new 'hash'", "sha256-", "first.yaml:2:3"),
        ({"first": "toolchain: [x]"}, "mapping.*is a list", "", "first.yaml:1:1"),
        ({"first": "- x"}, "mapping.*is a list", "", "first.yaml:1:1"),
        ({"second": "x = 1"}, "has no function overlay", "", "second.py"),
        ({"second": "import nothing_such"}, "ModuleNotFoundError", "", "second.py"),
        ({"second": "def overlay(final, prev): return {'a': 1}"}, "must return names and recipes", "", "second.py"),
        ({"second": "def overlay(final, prev): return 1 / 0"}, "ZeroDivisionError", "", "second.py"),
        ({"packages": "overlays: [none.yaml]"}, "does not exist", "", "none.yaml"),
        ({"packages": "overlays: [x, none.txt]"}, "is a file of YAML or of Python", "FILE.yaml", "packages.yaml:1:12"),
        ({"packages": "overlays: first.yaml"}, "must be a list of files", "", "packages.yaml:1:1"),
    ],
)
def test_a_mistake_is_told_with_its_place(load, texts, message, remedy, where):
    with pytest.raises(DeployerError, match=message) as caught:
        load(**texts).names()

    first = caught.value.errors[0] if isinstance(caught.value, ManyErrors) else caught.value
    assert str(first.location).endswith(where)
    assert remedy in first.remedy
