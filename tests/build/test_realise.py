"""Derivations made valid in a real store, by real builds."""

import asyncio
import hashlib
import os
from dataclasses import replace

import pytest

from deployer.build import realise
from deployer.build.errors import AttributeRefused, BuildFailed, HashMismatch, InputMissing, OutputMissing
from deployer.build.events import BuildEnded, BuildStarted, BuildStopped
from deployer.build.graph import read_derivation
from deployer.build.logs import log_file, read_log
from deployer.errors import ManyErrors, Place
from deployer.formats import DerivationRefused, Output, StorePath
from deployer.packages.derivation_inputs import make_derivation


def pinned_file(workshop, file, content):
    """A derivation that fetches a file and expects this content."""
    made = make_derivation(
        "file",
        builder="builtin:fetchurl",
        system="builtin",
        environment={"url": f"file://{file}"},
        fixed=("sha256", hashlib.sha256(content).digest()),
        store_dir="/nix/store",
    )
    return workshop.store.write_derivation(made.derivation)


async def test_a_graph_is_built_bottom_up_and_once(workshop):
    low = workshop.script("low", "echo low > $out")
    left = workshop.script("left", "cat $inputs > $out", low)
    top = workshop.script("top", "cat $inputs > $out; echo $inputs >> $out", low, left)

    output = await workshop.realise(top)

    assert output.read_text().splitlines()[:2] == ["low", "low"]
    assert workshop.names(BuildEnded) == ["low", "left", "top"]
    assert set(workshop.store.query(workshop.output(top)).references) == {str(workshop.output(low)), str(workshop.output(left))}
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
    curious = workshop.script("curious", "cat /nix/store/*-other > $out")

    with pytest.raises(BuildFailed):
        await workshop.realise(curious)


async def test_a_failure_is_told_and_its_log_kept(workshop):
    bad = workshop.script("bad", "echo because; exit 7")
    above = workshop.script("above", "echo > $out", bad)
    other = workshop.script("other", "echo > $out")

    with pytest.raises(BuildFailed) as caught:
        await workshop.realise(above, other, keep_going=True)

    assert caught.value.status == 7
    assert b"".join(read_log(workshop.store, bad)) == b"because\n"
    assert not log_file(workshop.store, str(bad)).exists()
    assert workshop.names(BuildStopped) == ["bad", "above"]
    assert workshop.store.is_valid(workshop.output(other))
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
    made = pinned_file(workshop, tmp_path / "file", b"pinned")

    with pytest.raises(HashMismatch) as caught:
        await workshop.realise(made, place_of=lambda _: Place("packages.yaml", 3, 5))

    assert str(caught.value.place) == "packages.yaml:3:5"
    assert not workshop.store.is_valid(workshop.output(made))


@pytest.mark.parametrize("claims", ["output", "variable"])
async def test_a_derivation_that_claims_the_output_of_another_is_refused(workshop, claims):
    victim = workshop.script("victim", "echo right > $out")
    forger = workshop.script("victim", "echo wrong > $out")
    derivation = read_derivation(workshop.store, str(forger))
    wanted = str(workshop.output(victim))
    if claims == "output":
        derivation = replace(derivation, outputs={"out": Output(wanted)})
    forged = replace(derivation, environment={**derivation.environment, "out": wanted})
    path = workshop.store.write_derivation(forged)

    with pytest.raises(DerivationRefused):
        await workshop.realise(path)

    assert not workshop.store.is_valid(wanted)
    assert workshop.names(BuildStarted) == []


async def test_a_toolchain_that_is_a_link_does_not_open_this_machine(workshop):
    link = workshop.script("link", "ln -s / $out")
    curious = workshop.script("curious", "ls / > $out", link, toolchain=str(workshop.output(link)))

    with pytest.raises(AttributeRefused, match="toolchain"):
        await workshop.realise(curious)


async def test_a_missing_input_is_told(workshop):
    missing = StorePath.parse("/nix/store/00000000000000000000000000000000-gone.drv")

    with pytest.raises(InputMissing, match="gone"):
        await realise(workshop.store, [missing])


async def test_a_cancelled_build_leaves_nothing(workshop):
    made = workshop.script("endless", "sleep 60")
    started = asyncio.Event()
    task = asyncio.create_task(realise(workshop.store, [made], on_event=lambda _: started.set()))
    await started.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(workshop.store.temporary_directory.iterdir()) == []


@pytest.mark.parametrize("steps", range(8))
async def test_a_run_that_is_cancelled_as_it_ends_leaves_nothing(workshop, steps):
    made = workshop.script("made", "echo > $out")
    loop = asyncio.get_running_loop()

    def cancel(left):
        loop.call_soon(cancel, left - 1) if left else task.cancel()

    def told(event):
        if isinstance(event, BuildEnded):
            cancel(steps)

    task = asyncio.create_task(realise(workshop.store, [made], on_event=told))
    await asyncio.wait([task])

    assert list(workshop.store.temporary_directory.iterdir()) == []


async def test_independent_builds_run_at_the_same_time(workshop):
    builds = [workshop.script(f"b{number}", "sleep 1; echo > $out") for number in range(3)]
    loop = asyncio.get_running_loop()
    started = loop.time()

    await workshop.realise(*builds, jobs=3)

    assert loop.time() - started < 2.5


async def test_a_build_sees_nothing_of_the_one_before_it(workshop):
    low, other = workshop.script("low", "echo low > $out"), workshop.script("other", "ln -s nowhere $out")
    await workshop.realise(low, other)
    look = "ls -a /build /nix/store > $out; echo $inputs >> $out; chmod 777 /build"
    builds = [workshop.script(name, look, *inputs) for name, inputs in (("a", [low]), ("b", []), ("c", [other]), ("d", [low]))]
    alone = [workshop.script(f"{name}-alone", look, *inputs) for name, inputs in (("a", [low]), ("b", []), ("c", [other]))]

    await workshop.realise(*builds, jobs=1)
    for build in alone:
        await workshop.realise(build)

    def seen(build):
        output = workshop.output(build)
        lines = workshop.store.physical(output).read_text().splitlines()
        return [line for line in lines if line != output.base_name]

    assert [seen(build) for build in builds] == [seen(build) for build in (*alone, alone[0])]
