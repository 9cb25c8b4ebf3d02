"""Packages to derivations: paths, laziness, overlays, errors; and what real Nix says about them."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from deployer.packages import PackageSet
from deployer.packages.errors import FileChanged, LockOutdated, PackageCycle, PackageInvalid, PackageUnknown
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

HASH = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
LOCK = Lock(
    {
        "toolchain": LockedDebian(
            ("bookworm",), ("gcc",), "amd64", (LockedDeb("gcc", "4:12", "amd64", "pool/g/gcc_12~1.deb", 1, "00" * 32),)
        )
    }
)
TEXT = f"""
toolchain: {{kind: debian, suite: bookworm, packages: [gcc]}}
lib: {{kind: archive, url: "https://example.org/lib.tar.gz", hash: {HASH}}}
hello: {{kind: build, source: ./src, script: make, toolchain: toolchain, inputs: [lib]}}
other: {{kind: fetch, url: "https://example.org/other", hash: {HASH}, executable: true}}
broken: {{kind: build, script: x, toolchain: tolchain}}
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text=TEXT, lock=LOCK):
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "src/main.c").write_text("int main(void) { return 0; }\n")
        (tmp_path / "packages.yaml").write_text(text)
        (tmp_path / "deployer.lock").write_text(str(lock))
        return PackageSet.load(tmp_path / "packages.yaml")

    return load_text


def test_an_output_path_depends_on_all_that_it_is_made_from_and_on_nothing_else(load, tmp_path):
    before = load().output_path("hello")

    (tmp_path / "src/.git").mkdir()
    (tmp_path / "src/.git/index").write_text("x")
    assert load().output_path("hello") == before
    assert load(TEXT.replace("https://example.org/lib", "https://elsewhere.org/lib")).output_path("hello") == before
    assert load(TEXT.replace("script: make", "script: make all")).output_path("hello") != before
    lock = Lock(
        {"toolchain": replace(LOCK.debian["toolchain"], debs=(replace(LOCK.debian["toolchain"].debs[0], sha256="11" * 32),))}
    )
    assert load(lock=lock).output_path("hello") != before


def test_a_broken_package_hurts_only_who_refers_to_it(load):
    packages = load()

    assert packages.output_path("other").endswith("-other")
    with pytest.raises(PackageUnknown) as caught:
        packages.output_path("broken")
    assert caught.value.near == ("toolchain",)
    assert str(caught.value.place).endswith("packages.yaml:6:1")


def test_an_unknown_package_is_told_with_near_names(load):
    with pytest.raises(PackageUnknown, match="helo") as caught:
        load().output_path("helo")

    assert caught.value.near == ("hello",)


def test_a_circle_is_told(load):
    packages = load("a: {kind: archive, package: b}\nb: {kind: archive, package: a}")

    with pytest.raises(PackageCycle) as caught:
        packages.output_path("a")
    assert caught.value.cycle == ("a", "b", "a")


@pytest.mark.parametrize("lock", [Lock({}), Lock({"toolchain": replace(LOCK.debian["toolchain"], packages=("clang",))})])
def test_a_lock_that_does_not_answer_is_an_error(load, lock):
    with pytest.raises(LockOutdated):
        load(lock=lock).output_path("toolchain")


def test_a_local_file_must_exist_and_have_its_hash(load, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("x")
    packages = load(
        f"a: {{kind: fetch, file: empty, hash: {HASH}}}\nb: {{kind: fetch, file: full, hash: {HASH}}}\n"
        "c: {kind: fetch, file: none}"
    )

    assert packages.output_path("a").endswith("-a")
    with pytest.raises(FileChanged):
        packages.output_path("b")
    with pytest.raises(PackageInvalid, match="there is no"):
        packages.output_path("c")


def test_an_overlay_replaces_a_package_for_all_that_need_it(load):
    packages = load()
    changed = packages.with_overlay(lambda final, prev: {"lib": replace(prev["lib"], strip_components=1)})

    assert changed.output_path("hello") != packages.output_path("hello")
    assert changed.output_path("other") == packages.output_path("other")


def test_overlays_see_those_before_them_and_lazily_the_whole(load):
    packages = load().with_overlay(lambda final, prev: {"new": lambda: replace(final["other"], name="new")})
    packages = packages.with_overlay(lambda final, prev: {"other": replace(prev["other"], executable=False)})

    assert packages.recipes["new"].executable is False
    wrapped = packages.with_overlay(lambda final, prev: {"hello": replace(prev["hello"], source=prev["hello"])})
    assert wrapped.output_path("hello") != packages.output_path("hello")


def test_an_overlay_that_needs_itself_is_told(load):
    packages = load().with_overlay(lambda final, prev: {"x": final["x"]})

    with pytest.raises(PackageCycle):
        packages.output_path("hello")


@pytest.mark.nix
@pytest.mark.skipif(not shutil.which("nix-store"), reason="nix-bin is not installed")
def test_real_nix_agrees_on_sources_and_derivations(load, tmp_path):
    environment = {**os.environ, "NIX_STORE_DIR": "/nix/store", "NIX_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)}
    packages = load()
    for name in ("other", "toolchain", "hello"):
        made = packages._make(packages.recipes[name])
        expression = nix_expression(made)
        evaluate = f"let d = {expression}; in builtins.toJSON [ d.drvPath d.outPath ]"
        command = ["nix-instantiate", "--readonly-mode", "--eval", "--expr", evaluate]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert answer.returncode == 0, answer.stderr
        assert json.loads(json.loads(answer.stdout)) == [str(made.path), str(made.output)]


def nix_expression(made):
    """A derivation as an expression of Nix's language, with its inputs as contexts."""
    derivation = made.derivation
    inputs = {str(item.output): nix_expression(item) for item in made.inputs}
    sources = {str(source.path): source for source in made.sources}

    def text(value):
        quoted = json.dumps(value, ensure_ascii=False).replace("${", "\\${")
        for path, expression in inputs.items():
            quoted = quoted.replace(path, "${" + expression + "}")
        for path, source in sources.items():
            quoted = quoted.replace(path, f'${{builtins.path {{ path = {source.origin}; name = "{source.origin.name}"; }}}}')
        return quoted

    attributes = {**derivation.environment, "builder": derivation.builder, "system": derivation.system}
    attributes.pop("out")
    lines = [f"{name} = {text(value)};" for name, value in attributes.items()]
    return f"(derivation {{ {' '.join(lines)} args = [ {' '.join(text(item) for item in derivation.arguments)} ]; }})"
