"""Derivations made valid in a real store, by real builds."""

import asyncio
import hashlib
import os

import pytest

from deployer.build import BuildSettings, realise
from deployer.build.errors import BuildFailed, HashMismatch, InputMissing, OutputMissing
from deployer.build.events import BuildEnded, BuildStarted, BuildStopped
from deployer.build.maker import log_file
from deployer.errors import ManyErrors, Place
from deployer.formats import StorePath
from deployer.packages.derivation_inputs import make_derivation
from deployer.store import Store


class Workshop:
    """A store with a toolchain, and what its builds told."""

    def __init__(self, root, toolchain):
        self.store, self.events = Store(root), []
        self.toolchain = str(self.store.add_tree("toolchain", toolchain))

    def script(self, name, script, *inputs, toolchain=True):
        made = make_derivation(
            name,
            builder="/bin/sh",
            arguments=("-e", "-c", script),
            system="x86_64-linux",
            environment={
                "PATH": "/usr/bin",
                "inputs": " ".join(str(item.output) for item in inputs),
                "toolchain": self.toolchain,
            },
            inputs=inputs,
            store_dir="/nix/store",
        )
        derivation = made.derivation.__class__(**{**vars(made.derivation), "input_sources": (self.toolchain,)})
        object.__setattr__(made, "derivation", derivation)
        object.__setattr__(made, "path", derivation.path())
        self.store.write_derivation(derivation)
        return made

    def fetch(self, file, content):
        digest = hashlib.sha256(content).digest()
        made = make_derivation(
            "file",
            builder="builtin:fetchurl",
            system="builtin",
            environment={"url": f"file://{file}"},
            fixed=("sha256", digest),
            store_dir="/nix/store",
        )
        self.store.write_derivation(made.derivation)
        return made

    async def realise(self, *made, **settings):
        await realise(self.store, [item.path for item in made], settings=BuildSettings(**settings), on_event=self.events.append)
        return self.store.physical(made[0].output)

    def names(self, kind):
        return [event.name for event in self.events if isinstance(event, kind)]


@pytest.fixture
def workshop(tmp_path, toolchain_tree):
    return Workshop(tmp_path / "root", toolchain_tree)


async def test_a_graph_is_built_bottom_up_and_once(workshop):
    low = workshop.script("low", "echo low > $out")
    left = workshop.script("left", "cat $inputs > $out", low)
    top = workshop.script("top", "cat $inputs > $out; echo $inputs >> $out", low, left)

    output = await workshop.realise(top)

    assert output.read_text().splitlines()[:2] == ["low", "low"]
    assert workshop.names(BuildEnded) == ["low", "left", "top"]
    assert set(workshop.store.query(top.output).references) == {str(low.output), str(left.output)}
    await workshop.realise(top)
    assert len(workshop.names(BuildStarted)) == 3


async def test_what_is_made_has_canonical_metadata(workshop):
    made = workshop.script("made", "mkdir $out; touch $out/file; echo x > $out/run; chmod 777 $out/run; ln -s file $out/link")

    output = await workshop.realise(made)

    assert [oct((output / name).lstat().st_mode & 0o7777) for name in ("file", "run")] == ["0o444", "0o555"]
    assert (output / "file").lstat().st_mtime == 1


async def test_an_output_may_be_a_link_and_is_not_followed(workshop):
    made = workshop.script("link", "ln -s /etc/shadow $out")

    output = await workshop.realise(made)

    assert os.readlink(output) == "/etc/shadow"


async def test_only_the_closure_of_inputs_is_seen(workshop):
    other = workshop.script("other", "echo secret > $out")
    await workshop.realise(other)
    curious = workshop.script("curious", f"cat {os.path.dirname(str(other.output))}/*-other > $out")

    with pytest.raises(BuildFailed):
        await workshop.realise(curious)


async def test_a_failure_is_told_and_its_log_kept(workshop):
    bad = workshop.script("bad", "echo because; exit 7")
    above = workshop.script("above", "echo > $out", bad)
    other = workshop.script("other", "echo > $out")

    with pytest.raises(BuildFailed) as caught:
        await workshop.realise(above, other, keep_going=True)

    assert caught.value.status == 7
    assert log_file(workshop.store, str(bad.path)).read_text() == "because\n"
    assert workshop.names(BuildStopped) == ["bad", "above"]
    assert workshop.store.is_valid(other.output)
    assert list(workshop.store.temporary_directory.iterdir()) == []


async def test_all_failures_are_told_together(workshop):
    bad = [workshop.script(f"bad{number}", "exit 1") for number in range(2)]

    with pytest.raises(ManyErrors):
        await workshop.realise(*bad, keep_going=True)


async def test_a_build_without_output_is_a_failure(workshop):
    with pytest.raises(OutputMissing):
        await workshop.realise(workshop.script("nothing", "true"))


async def test_a_wrong_hash_is_told_with_its_place(workshop, tmp_path):
    (tmp_path / "file").write_bytes(b"changed")
    made = workshop.fetch(tmp_path / "file", b"pinned")

    with pytest.raises(HashMismatch) as caught:
        await workshop.realise(made, place_of=lambda _: Place("packages.yaml", 3, 5))

    assert str(caught.value.place) == "packages.yaml:3:5"
    assert not workshop.store.is_valid(made.output)


async def test_a_missing_input_is_told(workshop):
    missing = StorePath.parse("/nix/store/00000000000000000000000000000000-gone.drv")

    with pytest.raises(InputMissing, match="gone"):
        await realise(workshop.store, [missing])


async def test_two_that_build_the_same_wait_for_each_other(workshop, tmp_path):
    made = workshop.script("slow", "sleep 0.5; echo > $out")
    second = Workshop.__new__(Workshop)
    second.store, second.events = Store(tmp_path / "root"), []

    await asyncio.gather(workshop.realise(made), second.realise(made))

    assert len(workshop.names(BuildStarted) + second.names(BuildStarted)) == 1


async def test_a_cancelled_build_leaves_nothing(workshop):
    made = workshop.script("endless", "sleep 60")
    started = asyncio.Event()
    task = asyncio.create_task(realise(workshop.store, [made.path], on_event=lambda _: started.set()))
    await started.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(workshop.store.temporary_directory.iterdir()) == []


async def test_independent_builds_run_at_the_same_time(workshop):
    builds = [workshop.script(f"b{number}", "sleep 1; echo > $out") for number in range(3)]
    loop = asyncio.get_running_loop()
    started = loop.time()

    await workshop.realise(*builds, jobs=3)

    assert loop.time() - started < 2.5
