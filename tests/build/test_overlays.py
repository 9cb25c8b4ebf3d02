"""A patched library reaches what depends on it, and nothing else is built again."""

from __future__ import annotations

import tarfile

from deployer.build import BuildSettings, realise
from deployer.build.events import BuildStarted
from deployer.packages import PackageSet
from deployer.store import Store

PACKAGES = """
overlays: [fix.yaml]
toolchain: {kind: archive, file: toolchain.tar}
lib: {kind: build, toolchain: toolchain, source: ./lib, script: mkdir $out; cp answer $out}
app: {kind: build, toolchain: toolchain, inputs: [lib], script: "mkdir $out; cat $inputs/answer >$out/app; echo $inputs >$out/u"}
site: {kind: build, toolchain: toolchain, inputs: [app], script: "mkdir $out; cat $inputs/app >$out/page; echo $inputs >$out/u"}
other: {kind: build, toolchain: toolchain, script: "mkdir $out; echo 1 >$out/other"}
"""
FIX = """\
--- a/answer
+++ b/answer
@@ -1 +1 @@
-wrong
+right
"""


async def test_a_patched_library_reaches_what_depends_on_it_and_nothing_else_is_built_again(tmp_path, toolchain_tree):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/answer").write_text("wrong\n")
    (tmp_path / "fix.patch").write_text(FIX)
    (tmp_path / "packages.yaml").write_text(PACKAGES)
    with tarfile.open(tmp_path / "toolchain.tar", "w") as archive:
        archive.add(toolchain_tree, ".")
    store, names = Store(tmp_path / "store"), ["site", "other"]

    async def build(overlay):
        (tmp_path / "fix.yaml").write_text(overlay)
        packages, built = PackageSet.load(tmp_path / "packages.yaml"), []
        paths = packages.instantiate(store, names)
        await realise(
            store,
            list(paths.values()),
            settings=BuildSettings(),
            on_event=lambda event: built.append(event.name) if isinstance(event, BuildStarted) else None,
        )
        outputs = [packages.made(name).output for name in names]
        closure = {str(path) for path in store.closure(outputs)}
        return (store.physical(outputs[0]) / "page").read_text(), closure, built

    before, old, _ = await build("")
    after, new, built = await build("lib: {patches: [fix.patch]}")

    assert (before, after) == ("wrong\n", "right\n")
    assert sorted(built) == ["app", "lib", "site"]
    assert {name.partition("-")[2] for name in old ^ new} == {"app", "lib", "site"}
    assert "other" in {name.partition("-")[2] for name in old & new}
