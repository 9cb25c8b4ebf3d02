"""Which engine builds what, and that `realise` goes through it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployer.build.engine import Engine, able
from deployer.build.errors import BuilderUnknown, NoSlotForBuilds
from deployer.build.events import BuildEnded
from deployer.build.graph import Node
from deployer.build.outputs import admit
from deployer.formats import Derivation, Output, StorePath
from deployer.sandbox.scratch import scratch_directory


@dataclass
class Elsewhere:
    """An engine that makes every output a file that says so."""

    systems: tuple[str, ...] = ("elsewhere-linux",)
    features: tuple[str, ...] = ()
    jobs: int = 2
    asked: list[str] = field(default_factory=list)
    opened: bool = False

    async def open(self, store):
        self.opened = True

    async def close(self):
        self.opened = False

    async def build(self, store, node, *, settings, on_line, on_progress):
        assert self.opened
        del settings, on_progress
        self.asked.append(node.name)
        on_line("from elsewhere")
        scratch = scratch_directory(store)
        made = {name: Path(scratch, name) for name in node.outputs}
        for file in made.values():
            file.write_text("made elsewhere")
        admit(store, node, made, closure=())
        scratch.rmdir()


def node(system, builder="/bin/sh", **environment):
    path = StorePath.parse("/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x.drv")
    return Node(path, Derivation("x", {"out": Output()}, system=system, builder=builder, environment=environment), {}, ())


LOCAL = Elsewhere(("builtin", "here"), ("kvm",))
FAR = Elsewhere(("here", "there"), ("big",))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (node("here"), FAR),
        (node("here", preferLocalBuild="1"), LOCAL),
        (node("there", preferLocalBuild="1"), FAR),
        (node("here", requiredSystemFeatures="kvm"), LOCAL),
        (node("here", requiredSystemFeatures="big"), FAR),
        (node("here", __json='{"requiredSystemFeatures":["kvm"]}'), LOCAL),
        (node("here", requiredSystemFeatures="kvm big"), None),
        (node("builtin", "builtin:fetchurl"), LOCAL),
        (node("nowhere"), None),
    ],
)
def test_a_derivation_goes_where_it_can_be_built_best(asked, expected):
    if expected is None:
        with pytest.raises(BuilderUnknown):
            able(asked, LOCAL, [FAR])
    else:
        assert able(asked, LOCAL, [FAR]) == (expected,)


async def test_a_graph_is_built_partly_here_and_partly_elsewhere(workshop):
    engine = Elsewhere()
    low = workshop.script("low", "echo low > $out")
    far = workshop.script("far", "", low, system="elsewhere-linux")
    top = workshop.script("top", "cat $inputs > $out", low, far)

    output = await workshop.realise(top, engines=[engine])

    assert isinstance(engine, Engine)
    assert engine.asked == ["far"]
    assert output.read_text() == "low\nmade elsewhere"
    assert workshop.names(BuildEnded) == ["low", "far", "top"]


async def test_where_nothing_may_be_built_here_only_others_build(workshop):
    low = workshop.script("low", "", system="elsewhere-linux")
    await workshop.realise(low, jobs=0, engines=[Elsewhere()])

    with pytest.raises(NoSlotForBuilds):
        await workshop.realise(workshop.script("top", "cat $inputs > $out", low), jobs=0, engines=[Elsewhere()])


async def test_what_nothing_can_build_is_told_before_anything_is_built(workshop):
    low = workshop.script("low", "echo > $out")
    strange = workshop.script("strange", "", low, system="m68k-linux")

    with pytest.raises(BuilderUnknown, match="m68k-linux"):
        await workshop.realise(strange)

    assert not workshop.store.is_valid(workshop.output(low))
    with pytest.raises(BuilderUnknown):
        await workshop.realise(strange, keep_going=True)
    assert workshop.store.is_valid(workshop.output(low))
