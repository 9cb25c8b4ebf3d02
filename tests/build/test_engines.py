"""Engines by their URLs, and a real Nix that builds for us."""

import os

import pytest

from deployer.build import BuildSettings, realise
from deployer.build.engines import EngineUnknown, nix, open_engine
from deployer.build.errors import BuildFailed, BuildTimedOut, HashMismatch, OutputsDiffer
from deployer.build.events import BuildEnded, BuildLogged
from deployer.build.logs import read_log
from deployer.errors import Place
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store, verify
from tests.build.conftest import NIX_CONFIGURATION


@pytest.mark.parametrize(
    ("url", "systems", "features", "jobs"),
    [
        ("nix?system=aarch64-linux&system=x86_64-linux&jobs=3", ("aarch64-linux", "x86_64-linux"), set(), 3),
        ("nix?feature=kvm", (f"{os.uname().machine}-linux",), {"kvm"}, os.cpu_count()),
    ],
)
def test_what_a_url_says_of_nix(url, systems, features, jobs):
    engine = open_engine(url)

    assert (tuple(engine.systems), engine.jobs) == (systems, jobs)
    assert features <= set(engine.features)


@pytest.mark.parametrize(
    "url",
    ["", "nax", "ssh://host", "nix?store", "nix?store=a&store=b", "nix?jobs=x", "nix?jobs=", "nix?what=1", "nix#x", "nix://x"],
)
def test_what_is_no_engine_is_refused(url):
    with pytest.raises(EngineUnknown):
        open_engine(url)


class Farm:
    """A store of ours, and derivations that a Nix can build too: their shell is started by its own loader."""

    def __init__(self, directory, toolchain_tree):
        self.store, self.events, self._modulo = Store(directory / "ours"), [], {}
        self.engine = open_engine(f"nix?store={directory / 'nix'}")
        self._toolchain = str(self.store.add_tree("toolchain", toolchain_tree))

    def script(self, name, script, inputs=(), outputs=("out",), fixed=None):
        tools = self._toolchain
        draft = Derivation(
            name,
            {output: Output("", *(fixed or ())) for output in outputs},
            {str(path): ("out",) for path in inputs},
            (tools,),
            "x86_64-linux",
            f"{tools}/lib64/ld-linux-x86-64.so.2",
            ("--library-path", f"{tools}/usr/lib/x86_64-linux-gnu:{tools}/usr/lib64", f"{tools}/usr/bin/sh", "-e", "-c", script),
            {**dict.fromkeys(outputs, ""), "inputs": " ".join(str(self.output(path)) for path in inputs)},
        )
        derivation = with_output_paths(draft, self._modulo.__getitem__)
        path = self.store.write_derivation(derivation)
        self._modulo[str(path)] = hash_modulo(derivation, self._modulo.__getitem__)
        return path

    def output(self, path, name="out"):
        derivation = Derivation.parse(self.store.physical(path).read_bytes(), path.name)
        return StorePath.parse(derivation.outputs[name].path)

    async def realise(self, *paths, **settings):
        given = BuildSettings(**{"engines": [self.engine], "jobs": 0, **settings})
        await realise(self.store, paths, settings=given, on_event=self.events.append)

    def text(self, path, name="out"):
        return self.store.physical(self.output(path, name)).read_text()


@pytest.fixture
def farm(tmp_path, toolchain_tree, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "nix.conf").write_text(NIX_CONFIGURATION)
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return Farm(tmp_path, toolchain_tree)


@pytest.mark.nix
async def test_nix_builds_a_graph_for_us_to_the_bytes_that_we_would_make(farm, tmp_path, toolchain_tree):
    low = farm.script("low", "echo building low >&2; echo low > $out; echo $out > $dev", outputs=("out", "dev"))
    top = farm.script("top", 'read line < $inputs; echo "$line top $inputs" > $out', [low])

    await farm.realise(top)

    assert farm.text(top) == f"low top {farm.output(low)}\n"
    assert farm.text(low, "dev") == f"{farm.output(low)}\n"
    assert [event.name for event in farm.events if isinstance(event, BuildEnded)] == ["low", "top"]
    assert "building low" in [event.line for event in farm.events if isinstance(event, BuildLogged)]
    assert b"building low\n" in b"".join(read_log(farm.store, low))
    assert farm.store.query(farm.output(top)).references == (str(farm.output(low)),)
    assert verify(farm.store) == ()
    ours = Farm(tmp_path / "again", toolchain_tree)
    again = [ours.script("low", "echo building low >&2; echo low > $out; echo $out > $dev", outputs=("out", "dev"))]
    again.append(ours.script("top", 'read line < $inputs; echo "$line top $inputs" > $out', again))
    await ours.realise(again[1], engines=(), jobs=1)
    for path, name in ((low, "out"), (low, "dev"), (top, "out")):
        output = farm.output(path, name)
        assert ours.store.query(output).nar_hash == farm.store.query(output).nar_hash


@pytest.mark.nix
async def test_what_nix_has_is_neither_sent_nor_made_again(farm, monkeypatch, tmp_path, toolchain_tree):
    await farm.realise(farm.script("low", "echo building low >&2; echo low > $out"))
    other = Farm(tmp_path / "other", toolchain_tree)
    monkeypatch.setattr(nix, "export_paths", lambda *_: pytest.fail("something was sent"))

    low = other.script("low", "echo building low >&2; echo low > $out")
    await other.realise(low, engines=[farm.engine])

    assert other.text(low) == "low\n"
    assert "building low" not in [event.line for event in other.events if isinstance(event, BuildLogged)]


@pytest.fixture
def killed_by_a_signal(tmp_path):
    """A directory with a `nix-store` that dies where it should build."""
    program = tmp_path / "bin" / "nix-store"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncase "$1" in --realise) kill -9 $$;; esac\ncat >/dev/null\n')
    program.chmod(0o755)
    return program.parent


@pytest.mark.nix
async def test_failures_of_nix_are_ours(farm, monkeypatch, killed_by_a_signal):
    with pytest.raises(BuildFailed, match="last words") as failed:
        await farm.realise(farm.script("failing", "echo last words >&2; exit 3"))
    assert "store log" in failed.value.remedy

    with pytest.raises(BuildTimedOut):
        await farm.realise(farm.script("slow", "while :; do :; done"), timeout=1)

    pin = ("sha256", "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4")
    pinned = farm.script("pinned", "echo other > $out", fixed=pin)
    with pytest.raises(HashMismatch) as wrong:
        await farm.realise(pinned, place_of=lambda path: Place("packages.yaml", 3, 5))
    assert (wrong.value.what, wrong.value.place) == (str(farm.output(pinned)), Place("packages.yaml", 3, 5))
    assert wrong.value.expected.startswith("sha256-mOpuTyFv")
    assert wrong.value.found.startswith("sha256-")

    monkeypatch.setenv("PATH", f"{killed_by_a_signal}:{os.environ['PATH']}")
    with pytest.raises(BuildFailed) as killed:
        await farm.realise(farm.script("killed", "echo > $out"), engines=[open_engine("nix")])
    assert killed.value.status == -9
    assert verify(farm.store) == ()


@pytest.mark.nix
async def test_a_second_build_by_nix_is_compared_with_ours(farm):
    same = farm.script("same", "echo same > $out")
    await farm.realise(same, engines=(), jobs=1)

    await farm.realise(same, check=True)

    strange = farm.script("strange", "read now _ < /proc/uptime; echo $now > $out")
    await farm.realise(strange, engines=(), jobs=1)
    with pytest.raises(OutputsDiffer):  # Nix's two builds, or Nix's and ours
        await farm.realise(strange, check=True)


@pytest.mark.nix
async def test_what_nix_says_is_checked_again_here(farm, monkeypatch):
    low = farm.script("low", "echo low > $out")
    await farm.realise(low)
    pin = ("sha256", "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4")
    pinned = farm.script("pinned", "echo hi > $out", fixed=pin)
    real = nix._unpack

    def forged(*arguments):
        found = real(*arguments)
        for place in found.values():
            place.chmod(0o644)
            place.write_text("forged")
        return found

    monkeypatch.setattr(nix, "_unpack", forged)
    with pytest.raises(HashMismatch):
        await farm.realise(pinned)

    assert not farm.store.is_valid(farm.output(pinned))
    assert verify(farm.store) == ()
