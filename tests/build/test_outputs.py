"""What may become of a build's outputs: as Nix has it."""

import hashlib
import os
import stat
import subprocess
import sys
import textwrap

import pytest

from deployer.build.errors import AttributeRefused, HashMismatch, OutputMissing, OutputRefused, ReferenceRefused
from deployer.build.graph import Graph
from deployer.build.outputs import admit
from deployer.errors import Place
from deployer.formats.hashes import Hash
from deployer.store import verify

HELLO = hashlib.sha256(b"hello\n").hexdigest()
DEEP = "mkdir $out; cd $out; i=0; while [ $i -lt %d ]; do mkdir d; cd d; i=$((i+1)); done"
LONG = f"cd $NIX_STORE; n={'x' * 250}; mkdir $n; for i in {' 1' * 20}; do mkdir t; mv $n t/$n; mv t $n; done; mv $n $out"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mkfifo $out", "neither a file"),
        ("mkdir $out; mkfifo $out/x", "neither a file"),
        ("mknod $out c 1 3", "ended with status"),
        ("echo x > $out; chmod 666 $out", "others than its builder"),
        ("mkdir $out; chmod 775 $out", "others than its builder"),
        ("mkdir $out; echo x > $out/a; ln $out/a $NIX_STORE/other", "a hard link"),
        (DEEP % 65, "deeper than 64"),
        (LONG, "File name too long"),
        ("true", "did not make its output out"),
    ],
)
async def test_what_has_no_place_in_a_store_is_refused(workshop, script, reason):
    made = workshop.script("made", script)

    with pytest.raises((OutputRefused, OutputMissing, Exception), match=reason):
        await workshop.realise(made)

    assert not workshop.store.is_valid(workshop.output(made))
    assert list(workshop.store.temporary_directory.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    [
        "mkdir $out; echo $out/lib > $out/self",
        "mkdir $out; echo x > $out/a; ln $out/a $out/b",
        "mkdir $out; mkdir -m 0 $out/closed; echo x > $out/none; chmod 0 $out/none",
        "ln -s /nowhere $out",
        DEEP % 60,
    ],
)
async def test_what_has_a_place_is_taken(workshop, script):
    made = workshop.script("made", script)

    await workshop.realise(made)

    assert workshop.store.is_valid(workshop.output(made))
    assert verify(workshop.store, contents=True) == ()


async def test_a_reference_to_itself_is_kept(workshop):
    made = workshop.script("made", "echo $out > $out")

    await workshop.realise(made)

    output = str(workshop.output(made))
    assert workshop.store.query(output).references == (output,)


async def test_outputs_are_registered_together_and_refer_to_each_other(workshop):
    made = workshop.script("two", "echo $dev > $out; echo > $dev", outputs=("out", "dev"))

    await workshop.realise(made)

    info = workshop.store.query(workshop.output(made))
    assert info.references == (str(workshop.output(made, "dev")),)
    assert info.deriver == str(made)


async def test_outputs_in_a_circle_are_refused(workshop):
    made = workshop.script("two", "echo $dev > $out; echo $out > $dev", outputs=("out", "dev"))

    with pytest.raises(OutputRefused, match="refer to each other"):
        await workshop.realise(made)


@pytest.mark.parametrize(
    ("script", "attributes", "refused"),
    [
        ("echo $inputs > $out", {"allowedReferences": ""}, True),
        ("echo $out > $out", {"allowedReferences": ""}, True),
        ("echo $out > $out", {"allowedReferences": "out"}, False),
        ("echo $out > $out", {"allowedRequisites": ""}, False),
        ("echo $inputs > $out", {"allowedReferences": "LOW"}, False),
        ("echo $inputs > $out", {"disallowedReferences": "LOW"}, True),
        ("cat $inputs > $out", {"disallowedReferences": "LOW"}, False),
        ("echo $inputs > $out", {"disallowedRequisites": "LOWEST"}, True),
        ("echo $inputs > $out", {"disallowedReferences": "LOWEST"}, False),
        ("echo $inputs > $out", {"allowedRequisites": "LOW"}, True),
        ("echo $inputs > $out", {"allowedRequisites": "LOW LOWEST"}, False),
    ],
)
async def test_references_are_as_the_derivation_allows(workshop, script, attributes, refused):
    lowest = workshop.script("lowest", "echo 1 > $out")
    low = workshop.script("low", "echo $inputs > $out", lowest)
    names = {"LOW": str(workshop.output(low)), "LOWEST": str(workshop.output(lowest))}
    given = {key: " ".join(names.get(word, word) for word in value.split()) for key, value in attributes.items()}
    made = workshop.script("made", script, low, **given)

    if refused:
        with pytest.raises(ReferenceRefused, match=next(iter(attributes))):
            await workshop.realise(made)
    else:
        await workshop.realise(made)

    assert workshop.store.is_valid(workshop.output(made)) is not refused


async def test_a_demand_that_names_nothing_is_refused(workshop):
    with pytest.raises(AttributeRefused, match="'nothing'"):
        await workshop.realise(workshop.script("made", "echo > $out", allowedReferences="nothing"))


async def test_a_fixed_output_is_a_copy_with_its_content_address(workshop):
    made = workshop.script("made", "echo hello > $out; stat -c %i $out", fixed=("sha256", HELLO))

    output = await workshop.realise(made)

    assert workshop.store.query(workshop.output(made)).ca.startswith("fixed:sha256:")
    assert str(output.stat().st_ino) not in [getattr(event, "line", "") for event in workshop.events]


async def test_a_wrong_fixed_output_prints_both_hashes_and_the_line(workshop):
    made = workshop.script("made", "echo other > $out", fixed=("sha256", HELLO))

    with pytest.raises(HashMismatch) as caught:
        await workshop.realise(made, place_of=lambda _: Place("packages.yaml", 3, 5))

    pinned, found = (Hash.of("sha256", text).sri for text in (b"hello\n", b"other\n"))
    assert f"pinned: {pinned}\n    found:  {found}" in caught.value.message
    assert "packages.yaml:3:5" in caught.value.remedy


@pytest.mark.parametrize("script", ["mkdir $out", "ln -s /x $out", "echo hello > $out; chmod +x $out"])
async def test_a_flat_fixed_output_is_a_plain_file(workshop, script):
    with pytest.raises(OutputRefused, match="not executable"):
        await workshop.realise(workshop.script("made", script, fixed=("sha256", HELLO)))


async def test_a_fixed_output_refers_to_nothing(workshop):
    low = workshop.script("low", "echo > $out")
    digest = hashlib.sha256(f"{workshop.output(low)}\n".encode()).hexdigest()

    with pytest.raises(OutputRefused, match="its hash is pinned"):
        await workshop.realise(workshop.script("made", "echo $inputs > $out", low, fixed=("sha256", digest)))


async def test_attributes_of_files_are_dropped_whoever_made_them(workshop, tmp_path):
    made = workshop.script("made", "never run")
    place = workshop.store.temporary_directory / f"{os.getpid()}-test"
    place.mkdir()
    (place / "file").write_text("x")
    for path in (place, place / "file"):
        os.setxattr(path, "user.something", b"x")
    os.chmod(place / "file", 0o6755)
    (node,) = Graph.load(workshop.store, [made]).nodes.values()

    admit(workshop.store, node, {"out": place}, closure=())

    output = workshop.store.physical(workshop.output(made))
    assert [os.listxattr(path) for path in (output, output / "file")] == [[], []]
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (output, output / "file")] == [0o555, 0o555]


def test_a_file_of_another_user_is_refused(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    script = """
        import os, sys
        from pathlib import Path
        from deployer.sandbox.fitness import look_through
        made = Path(sys.argv[1]) / "made"
        made.write_text("x")
        os.chown(made, 12345, 0)
        print(look_through(str(made)).reason)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path], capture_output=True, text=True, check=True)
    assert "user 12345" in done.stdout
