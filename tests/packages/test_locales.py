"""Locales of root trees, as derivations."""

import json
from dataclasses import replace

import pytest

from deployer.packages import PackageSet
from deployer.packages.debian.locales import directory_of
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

TREE = "tree: {kind: debian, suite: bookworm, packages: [redis, locales]%s}"
DEBS = tuple(
    LockedDeb(name, "1", "amd64", f"pool/{name}.deb", 1, f"{number:064x}") for number, name in enumerate(("locales", "redis"))
)
LOCKED = LockedDebian(("bookworm",), ("redis", "locales"), "amd64", DEBS)


@pytest.fixture
def load(tmp_path):
    def load_text(keys="", locked=LOCKED):
        (tmp_path / "packages.yaml").write_text(TREE % keys)
        (tmp_path / "deployer.lock").write_text(str(Lock({"tree": locked})))
        return PackageSet.load(tmp_path / "packages.yaml")

    return load_text


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("de_DE.UTF-8", "de_DE.utf8"),
        ("en_GB.ISO-8859-15", "en_GB.iso885915"),
        ("de_DE.8859-1", "de_DE.iso88591"),
        ("sr_RS.UTF-8@latin", "sr_RS.utf8@latin"),
        ("ja_JP.EUC-JP", "ja_JP.eucjp"),
        ("eo.UTF-8", "eo.utf8"),
    ],
)
def test_a_locale_lies_where_the_c_library_looks_for_it(name, directory):
    assert directory_of(name) == directory


def test_locales_are_made_by_the_tree_without_them_and_put_into_it(load):
    plain = load().made("tree")
    made = load(", locales: [de_DE.UTF-8, sr_RS.UTF-8@latin], programs: [redis-cli]").made("tree")

    locales = json.loads(made.derivation.environment["locales"])
    assert list(locales) == ["de_DE.utf8", "sr_RS.utf8@latin"]
    compiler = next(needed for needed in made.inputs if str(needed.output) == locales["sr_RS.utf8@latin"])
    assert compiler.derivation.environment["toolchain"] == str(plain.output)
    assert compiler.derivation.system == "x86_64-linux"
    assert compiler.derivation.arguments[1:3] == ("-i", "sr_RS@latin")
    assert made.derivation.environment["debs"] == plain.derivation.environment["debs"]


def test_a_tree_is_the_same_in_whatever_order_its_locales_are_named_and_none_are_none(load):
    both = ", locales: [de_DE.UTF-8, fr_FR.UTF-8]"

    assert load(both).output_path("tree") == load(", locales: [fr_FR.UTF-8, de_DE.UTF-8]").output_path("tree")
    assert load(both).output_path("tree") != load(", locales: [fr_FR.UTF-8]").output_path("tree")
    assert load(", locales: []").output_path("tree") == load().output_path("tree")


def test_a_tree_that_omits_something_is_another_and_compiles_its_locales_by_what_it_has(load):
    omitting = load(", omit: [translations, documentation], locales: [de_DE.UTF-8]").made("tree")

    assert omitting.derivation.environment["omit"] == "documentation translations"
    (compiled,) = (needed for needed in omitting.inputs if needed.derivation.name == "tree-locale-de_DE.UTF-8")
    plain = load(", omit: [documentation, translations]")
    assert compiled.derivation.environment["toolchain"] == plain.output_path("tree")
    assert plain.output_path("tree") != load(", omit: []").output_path("tree") == load().output_path("tree")


def test_a_tree_without_the_package_that_locales_are_made_from_is_refused_with_its_place(load):
    packages = load(", locales: [de_DE.UTF-8]", replace(LOCKED, debs=DEBS[1:]))

    with pytest.raises(PackageInvalid, match="'locales', which it lacks") as caught:
        packages.output_path("tree")

    assert str(caught.value.place).endswith("packages.yaml:1:1")
    assert "Add locales to its 'packages'" in caught.value.remedy


def test_a_bill_of_materials_knows_the_tree_that_locales_are_made_by(load):
    packages = load(", locales: [de_DE.UTF-8]")
    made = packages.made("tree")
    compiler = next(needed for needed in made.inputs if needed.derivation.name == "tree-locale-de_DE.UTF-8")
    recipe = packages.recipe_of(compiler.inputs[0])

    assert recipe is not None
    assert (recipe.name, recipe.suites) == ("tree", ("bookworm",))
    assert packages.root_trees([made]) == {"tree": LOCKED}
