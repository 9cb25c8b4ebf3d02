"""Building again to compare, and what is kept of a build that failed."""

import os
from pathlib import Path

import pytest

from deployer.build.errors import BuildFailed, NothingToCheck, OutputRefused, OutputsDiffer
from deployer.build.events import BuildStarted
from deployer.build.reproducibility import different_files
from deployer.errors import ManyErrors

RANDOM = "head -c 8 /dev/urandom"


async def test_what_is_reproducible_passes_and_stays_as_it_was(workshop):
    made = workshop.script("made", "mkdir $out; echo $out > $out/file")
    before = (await workshop.realise(made)).stat().st_ino

    output = await workshop.realise(made, check=True)

    assert output.stat().st_ino == before
    assert workshop.names(BuildStarted) == ["made", "made"]


async def test_what_differs_is_told_and_kept(workshop, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    made = workshop.script("made", f"mkdir $out $out/sub; echo same > $out/same; {RANDOM} > $out/sub/random")
    output = await workshop.realise(made)
    before = (output / "sub/random").read_bytes()

    with pytest.raises(OutputsDiffer, match="sub/random: other bytes") as caught:
        await workshop.realise(made, check=True)

    kept = Path(f"{output}.check")
    assert caught.value.kept == str(kept)
    assert (kept / "sub/random").read_bytes() != (output / "sub/random").read_bytes() == before
    assert (kept / "sub/random").stat().st_mode & 0o777 == 0o444
    assert list(workshop.store.temporary_directory.iterdir()) == []


async def test_diffoscope_is_asked_where_it_is_installed(workshop, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "diffoscope"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho compared: $(basename $2) $(basename $3)\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    made = workshop.script("made", f"{RANDOM} > $out")
    name = (await workshop.realise(made)).name

    with pytest.raises(OutputsDiffer, match=f"compared: {name} {name}.check"):
        await workshop.realise(made, check=True)


async def test_every_output_that_differs_is_told(workshop):
    made = workshop.script("made", f"{RANDOM} > $out; {RANDOM} > $dev; echo > $doc", outputs=("out", "dev", "doc"))
    await workshop.realise(made)

    with pytest.raises(ManyErrors) as caught:
        await workshop.realise(made, check=True)

    assert len(caught.value.errors) == 2


async def test_only_what_was_asked_for_is_built_again(workshop):
    low = workshop.script("low", "echo > $out")
    top = workshop.script("top", "cat $inputs > $out", low)
    await workshop.realise(top)

    await workshop.realise(top, check=True)

    assert workshop.names(BuildStarted) == ["low", "top", "top"]


async def test_what_was_never_built_cannot_be_checked(workshop):
    with pytest.raises(NothingToCheck):
        await workshop.realise(workshop.script("made", "echo > $out"), check=True)

    assert workshop.names(BuildStarted) == []


@pytest.mark.parametrize(
    ("script", "error"), [("echo x > left; exit 1", BuildFailed), ("echo x > left; mkfifo $out", OutputRefused)]
)
async def test_the_build_directory_of_a_failed_build_is_kept_and_named(workshop, tmp_path, monkeypatch, script, error):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(error) as caught:
        await workshop.realise(workshop.script("bad", script), keep_failed=True)

    assert caught.value.kept in caught.value.remedy
    assert (Path(caught.value.kept) / "left").read_text() == "x\n"


def test_trees_are_compared_by_kind_target_and_bytes(tmp_path):
    for name, content, target in (("a", "x", "1"), ("b", "y", "2")):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "file").write_text(content)
        (tree / "link").symlink_to(target)
        (tree / "same").write_text("same")
        (tree / name).mkdir()

    found = list(different_files(tmp_path / "a", tmp_path / "b"))

    assert found == [
        "a: directory, then nothing",
        "b: nothing, then directory",
        "file: other bytes (1, then 1)",
        "link: leads to 1, then to 2",
    ]
