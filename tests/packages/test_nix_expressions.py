"""Attributes of Nix expressions: what a lock pins of them, and what is refused; by a real Nix."""

from __future__ import annotations

import json
import re

import pytest

from deployer.errors import DeployerError, ManyErrors
from deployer.packages import PackageSet
from deployer.packages.errors import LockInvalid, LockOutdated, NixMissing, PackageInvalid
from deployer.packages.lock_changes import LockChange
from deployer.packages.lockfile import LOCK_NAME, Lock
from deployer.packages.locking import lock_packages
from tests.packages.nix_project import NixProject

pytestmark = pytest.mark.nix
TOOL = "tool:\n  kind: nix\n  file: expression.nix\n  attribute: {}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return NixProject(tmp_path, monkeypatch)


async def test_a_lock_pins_what_nix_build_would_make(project):
    project.write("doc: {kind: nix, file: expression.nix, attribute: tool.doc, arguments: {greeting: ho}}\n")

    locking = await lock_packages(project.file)

    (built,) = project.nix("nix-build", "expression.nix", "-A", "tool.doc", "--argstr", "greeting", "ho", "--no-out-link")
    locked = Lock.read(project.directory / LOCK_NAME).nix["doc"]
    assert locked == locking.lock.nix["doc"]
    assert (locked.path, locked.output, locked.system) == (built, "doc", "x86_64-linux")
    assert project.nix("nix-store", "--query", "--deriver", built) == [locked.derivation]
    assert PackageSet.load(project.file).made("doc").architecture == "x86_64"


async def test_what_the_expression_comes_to_later_is_a_change_of_the_lock(project):
    project.write(TOOL.format("tool"))
    before = (await lock_packages(project.file)).lock.nix["tool"].path
    file = project.directory / "expression.nix"
    file.write_text(file.read_text().replace("tool-1.0", "tool-1.1"))

    assert PackageSet.load(project.file).made("tool").sources[0].path.name == "tool-1.0"
    locking = await lock_packages(project.file)

    assert locking.changes == (LockChange("tool", "tool", "tool-1.0", "tool-1.1"),)
    assert locking.lock.nix["tool"].path != before


async def test_what_is_not_updated_needs_no_nix_and_an_update_does(project, monkeypatch):
    project.write(TOOL.format("tool") + TOOL.format("library").replace("tool:", "other:"))
    pinned = (await lock_packages(project.file)).lock
    programs = project.directory / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    project.write(TOOL.format("tool"))

    with pytest.raises(NixMissing, match=r"expression\.nix, and this machine has no nix-instantiate") as caught:
        await lock_packages(project.file, only=["tool"])

    assert str(caught.value.place).endswith("packages.yaml:4:3")
    assert Lock.read(project.directory / LOCK_NAME) == pinned
    PackageSet.load(project.file).check()


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("nothing", "attribute 'nothing' in selection path"),
        ("word", "word of expression.nix is no derivation"),
        ("all", "all of expression.nix is no derivation"),
        ("refused", "this one is not to be had"),
    ],
)
async def test_what_is_no_derivation_is_told_with_its_place(project, attribute, reason):
    project.write(TOOL.format(attribute))

    with pytest.raises(PackageInvalid, match=reason) as caught:
        await lock_packages(project.file)

    assert str(caught.value.place).endswith("packages.yaml:4:3")
    assert caught.value.remedy
    assert not (project.directory / LOCK_NAME).exists()


async def test_an_expression_that_is_looked_up_is_found_as_nix_finds_it(project, monkeypatch):
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={project.directory / 'expression.nix'}")
    project.write("tool: {kind: nix, attribute: tool}\n")

    locked = (await lock_packages(project.file)).lock.nix["tool"]

    assert locked.file == "<nixpkgs>"
    assert [locked.path] == project.nix("nix-build", "<nixpkgs>", "-A", "tool", "--no-out-link")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tool: {kind: nix}", "either 'path' or 'attribute', and has neither"),
        (f"tool: {{kind: nix, path: /nix/store/{'0' * 32}-x, attribute: x}}", "and has both"),
        (f"tool: {{kind: nix, path: /nix/store/{'0' * 32}-x, file: expression.nix}}", "'file' means nothing beside a 'path'"),
        ("tool: {kind: nix, attribute: 'tool;rm'}", "no path of attributes"),
        ("tool: {kind: nix, attribute: --help}", "no path of attributes"),
        ("tool: {kind: nix, attribute: tool, file: none.nix}", r"there is no .*none\.nix"),
        ("tool: {kind: nix, attribute: tool, file: <a b>}", "nothing that Nix looks up"),
        ("tool: {kind: nix, attribute: tool, arguments: {'-x': y}}", "no name of an argument"),
        ("tool: {kind: nix, attribute: tool, arguments: {x: 1}}", "mapping of strings"),
    ],
)
def test_what_is_written_wrongly_is_told_before_nix_is_asked(project, text, reason):
    project.write(text)

    with pytest.raises(DeployerError) as caught:
        PackageSet.load(project.file)

    errors = caught.value.errors if isinstance(caught.value, ManyErrors) else [caught.value]
    assert any(re.search(reason, error.message) for error in errors), errors


async def test_another_attribute_than_the_locked_one_asks_for_a_new_lock(project):
    project.write(TOOL.format("tool"))
    await lock_packages(project.file)

    for text in (TOOL.format("library"), TOOL.format("tool") + "  arguments: {greeting: ho}\n"):
        project.write(text)
        with pytest.raises(LockOutdated, match="pins another attribute"):
            PackageSet.load(project.file).made("tool")
    project.write(TOOL.format("tool").replace("tool:", "new:"))
    with pytest.raises(LockOutdated, match="does not pin it"):
        PackageSet.load(project.file).made("new")


@pytest.mark.parametrize(
    ("key", "value"),
    [("path", "/etc/passwd"), ("derivation", "--help"), ("output", "out --x"), ("arguments", ["x"]), ("file", 1)],
)
async def test_a_lock_edited_by_hand_is_refused(project, key, value):
    project.write(TOOL.format("tool"))
    await lock_packages(project.file)
    document = json.loads((project.directory / LOCK_NAME).read_text())
    document["nix"]["tool"][key] = value
    (project.directory / LOCK_NAME).write_text(json.dumps(document))

    with pytest.raises(LockInvalid, match="not a lock file of ours"):
        PackageSet.load(project.file)


def test_an_overlay_changes_what_it_says(project):
    (project.directory / "overlay.yaml").write_text("tool: {arguments: {system: aarch64-linux}, version: '2'}\n")
    project.write(TOOL.format("tool") + "  arguments: {greeting: ho}\n")
    project.write(f"overlays: [overlay.yaml]\n{project.file.read_text()}")

    (recipe,) = PackageSet.load(project.file).nix_requests()

    assert (recipe.attribute, recipe.version) == ("tool", "2")
    assert recipe.arguments == {"greeting": "ho", "system": "aarch64-linux"}
