"""Derivations: the same bytes, the same hashes and the same paths as Nix, for graphs of every form."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployer.formats import Derivation, DerivationRefused, Output
from deployer.formats.derivation import check_output_paths, with_output_paths
from deployer.formats.export import ExportWriter, export_order
from deployer.formats.modulo import ModuloHashes
from deployer.formats.nar import token
from deployer.formats.pathstream import PathHeader
from deployer.formats.storepath import make_text_path
from tests.formats.graphs import Made, expression, graphs
from tests.formats.oracle import Nix

PLAIN: dict[str, object] = {
    "name": "a",
    "fixed": None,
    "outputs": ("out",),
    "uses": [],
    "note": None,
    "args": [],
    "env": {},
    "system": "s",
}
FIXED = {**PLAIN, "fixed": ("sha256", "flat", "base32")}
MERGED = [
    {**FIXED, "env": {"url": "1"}},
    {**FIXED, "env": {"url": "2"}},
    {**PLAIN, "outputs": ("out", "dev"), "uses": [(0, 0)]},
    {**PLAIN, "outputs": ("out", "dev"), "uses": [(1, 0)]},
    {**PLAIN, "uses": [(2, 0), (3, 1), (0, 0), (1, 0)]},
]
"""Two downloads of one thing, two users that differ in nothing else, and one that uses different outputs of these."""

OFTEN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def exported(paths, content):
    """An export stream of files; `paths` tells what each refers to."""
    pieces: list[bytes] = []
    writer = ExportWriter(pieces.append)
    for path in export_order(paths):
        words = (b"nix-archive-1", b"(", b"type", b"regular", b"contents", content(path), b")")
        archive = b"".join(map(token, words))
        writer.path(PathHeader(path, "", 0, tuple(paths[path])), lambda write, archive=archive: write(archive))  # type: ignore[misc]
    writer.end()
    return b"".join(pieces)


@pytest.mark.nix
@OFTEN
@example(nodes=MERGED)
@given(nodes=graphs())
def test_what_nix_instantiates_we_compute_to_the_same_files_and_read(nix, nodes):
    (file := nix.directory / "graph.nix").write_bytes(expression(nodes))

    printed = nix.text("nix-instantiate", str(file)).splitlines()

    ours = Made(nodes, nix.store_dir)
    assert [line.partition("!")[0] for line in printed] == ours.paths
    for path, derivation in ours.derivations.items():
        data = Path(path).read_bytes()
        assert derivation.to_bytes() == data
        assert Derivation.parse(data, derivation.name, nix.store_dir) == derivation
        check_output_paths(derivation, ours.hash_of, nix.store_dir)


@pytest.mark.nix
@OFTEN
@example(nodes=MERGED)
@given(nodes=graphs())
def test_what_we_compute_nix_imports_and_finds_at_its_right_paths(nix, nodes):
    ours = Made(nodes, nix.store_dir)
    stream = exported(ours.references(), ours.content)

    # On import Nix computes the output paths of each derivation anew, and refuses those that are others.
    with tempfile.TemporaryDirectory(dir=nix.directory) as directory:
        fresh = Nix(Path(directory), store_dir=nix.store_dir)
        assert fresh.run("nix-store", "--import", stdin=stream).stdout.decode().split() == export_order(ours.references())
        for path, derivation in ours.derivations.items():
            outputs = fresh.text("nix-store", "-q", "--outputs", path).splitlines()
            assert sorted(outputs) == sorted(output.path for output in derivation.outputs.values())


@pytest.mark.nix
def test_a_derivation_at_the_path_of_another_is_refused_as_by_nix(nix):
    made = Made(MERGED, nix.store_dir)
    right = made.derivations[made.paths[-1]]
    other = made.derivations[made.paths[2]].outputs["out"]
    forged = {
        "output": dataclasses.replace(right, outputs={"out": other}, environment={**right.environment, "out": other.path}),
        "variable": dataclasses.replace(right, environment={**right.environment, "out": other.path}),
    }

    for reason, derivation in forged.items():
        path = str(derivation.path(nix.store_dir))
        content = {path: derivation.to_bytes(), **{one: made.content(one) for one in made.references()}}
        stream = exported({**made.references(), path: made.references()[made.paths[-1]]}, content.__getitem__)
        assert b"incorrect" in nix.run("nix-store", "--import", stdin=stream, check=False).stderr
        with pytest.raises(DerivationRefused, match=reason):
            check_output_paths(derivation, made.hash_of, nix.store_dir)


SIMPLE = with_output_paths(
    Derivation("x", {"out": Output()}, {}, (), "s", "/b", ("one", "two"), {"a": 'n\n"\\\t\r', "b": "", "out": ""}),
    str,
    "/nix/store",
)
TEXT = SIMPLE.serialize()
OUT = SIMPLE.outputs["out"].path
DIGEST = "0" * 64
SOURCE = "/nix/store/" + "0" * 32 + "-s"


def with_sources(*paths):
    return with_output_paths(dataclasses.replace(SIMPLE, input_sources=paths), str, "/nix/store").serialize()


def swapped(text, one, other):
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


REFUSED = {
    "nothing": "",
    "cut off": TEXT[:-1],
    "white space": TEXT.replace("),", "), "),
    "another word": TEXT.replace("Derive", "DrvWithVersion"),
    "an output of three fields": TEXT.replace(',"","")', ',"")', 1),
    "an output with a relative path": TEXT.replace(OUT, OUT[1:]),
    "an output outside of the store": TEXT.replace(OUT, "/etc/passwd"),
    "a source that is no path": with_sources(SOURCE).replace(SOURCE, "s"),
    "a source outside of the store": with_sources(SOURCE).replace(SOURCE, "/etc/passwd"),
    "an input outside of the store": TEXT.replace("],[],[],", '],[("/x.drv",["out"])],[],'),
    "an output whose path no build has told": TEXT.replace(f'"{OUT}","",""', '"","r:sha256",""'),
    "a fixed output of an unknown algorithm": TEXT.replace(f'"{OUT}","",""', f'"{OUT}","sha3","{DIGEST}"'),
    "a fixed output with a short hash": TEXT.replace(f'"{OUT}","",""', f'"{OUT}","sha256","00"'),
    "no output": TEXT.replace(f'("out","{OUT}","","")', ""),
    "a fixed output of another name": TEXT.replace(f'("out","{OUT}","","")', f'("dev","{OUT}","sha256","{DIGEST}")'),
}
"""Refused by Nix, and by us."""

STRICTER = {
    "a variable out of order": swapped(TEXT, '("a",', '("b",'),
    "a variable twice": TEXT.replace('("b","")', '("b",""),("b","")'),
    "a source twice": with_sources(SOURCE).replace(f'["{SOURCE}"]', f'["{SOURCE}","{SOURCE}"]'),
    "sources out of order": swapped(with_sources(SOURCE, SOURCE + "t"), f'"{SOURCE}"', f'"{SOURCE}t"'),
    "an output twice": TEXT.replace(f'("out","{OUT}","","")', f'("out","{OUT}","",""),("out","{OUT}","","")'),
    "a newline as it is": TEXT.replace("\\n", "\n"),
    "a tab as it is": TEXT.replace("\\t", "\t"),
    "an escape that none needs": TEXT.replace("one", "\\one"),
    "a list without commas": TEXT.replace('"one",', '"one"'),
    "a comma before the first": TEXT.replace('["one"', '[,"one"'),
    "something after it": TEXT + "x",
    "a hash without an algorithm": TEXT.replace(f'"{OUT}","",""', f'"{OUT}","","00"'),
}
"""Taken by Nix, though it writes none of them: two files would be one derivation."""


@pytest.mark.nix
@pytest.mark.parametrize("name", [*REFUSED, *STRICTER])
def test_a_malformed_file_is_refused(nix, tmp_path, name):
    text = {**REFUSED, **STRICTER}[name]
    assert text != TEXT
    path = str(make_text_path("x.drv", text.encode()))
    elsewhere = Nix(tmp_path, store_dir="/nix/store", remote=str(tmp_path / "root"))
    verdict = elsewhere.run("nix-store", "--import", stdin=exported({path: ()}, lambda _: text.encode()), check=False)

    with pytest.raises(DerivationRefused):
        Derivation.parse(text, "x", "/nix/store")
    if name in REFUSED:
        assert verdict.returncode != 0


@OFTEN
@given(nodes=graphs())
def test_every_derivation_is_read_as_it_was_written(nodes):
    for derivation in Made(nodes, "/gnu/store").derivations.values():
        assert Derivation.parse(derivation.to_bytes(), derivation.name, "/gnu/store") == derivation


def test_text_that_no_bytes_stand_for_is_refused():
    with pytest.raises(DerivationRefused):
        dataclasses.replace(SIMPLE, environment={"a": "\ud800"}).to_bytes()


@given(st.integers(0, len(TEXT) - 1))
def test_a_file_that_is_cut_off_is_refused(length):
    # Nix 2.8 reads for ever where the end comes within a string.
    with pytest.raises(DerivationRefused):
        Derivation.parse(TEXT[:length], "x")


@pytest.mark.parametrize("letter", ['"', "\\"])
def test_a_system_that_nix_would_write_so_that_none_can_read_it_is_refused(letter):
    with pytest.raises(DerivationRefused):
        dataclasses.replace(SIMPLE, system=f"a{letter}b").to_bytes()


@OFTEN
@example(nodes=MERGED)
@given(nodes=graphs())
def test_a_graph_is_hashed_from_any_of_its_ends(nodes):
    made = Made(nodes, "/gnu/store")

    for path in made.paths:
        hashes = ModuloHashes(made.derivations.__getitem__)
        hashes.check(path, "/gnu/store")
        assert hashes(path) == made.hash_of(path)


def test_a_graph_may_be_deep_and_each_derivation_is_read_once():
    read = []

    def load(path):
        read.append(path)
        number = int(path)
        inputs = {str(one): ("out",) for one in (number - 1, number - 2) if one >= 0}
        return Derivation("x", {"out": Output("/x")}, inputs)

    ModuloHashes(load)("5000")

    assert sorted(map(int, read)) == list(range(5001))


@pytest.mark.parametrize("around", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_a_derivation_that_depends_on_itself_is_refused(around):
    with pytest.raises(DerivationRefused, match="itself"):
        ModuloHashes(lambda path: Derivation(path, {"out": Output("/x")}, {around[path]: ("out",)}))("a")
