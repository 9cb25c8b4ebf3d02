"""Derivations go between Nix and us: what one instantiates, the other builds, to the same bytes."""

import io

import pytest

from deployer.build import BuildSettings, realise
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store
from deployer.store.exporting import export_paths

pytestmark = pytest.mark.nix

GRAPH = """
rec {
  low = script "low" { } "echo low > $out";
  many = script "many" { outputs = [ "out" "dev" "doc" ]; inherit low; hash = builtins.placeholder "dev"; } ''
    mkdir $out $dev; echo "$hash $low" > $out/file; ln -s $dev $out/link; echo ${builtins.placeholder "doc"} > $dev/x
    echo run > $dev/run; chmod 755 $dev/run; echo ${low} > $doc
  '';
  flat = script "flat" { outputHashMode = "flat"; outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "flat\\n"; } "echo flat > $out";
  sha1 = script "sha1" { outputHashMode = "flat"; outputHashAlgo = "sha1"; outputHash = builtins.hashString "sha1" "1\\n"; }
    "echo 1 > $out";
  tree = script "tree" { outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "@tree@"; }
    "mkdir $out; echo tree > $out/file";
  impure = script "impure" { outputHashMode = "flat"; outputHashAlgo = "sha256"; impureEnvVars = [ "IMPURE" "UNSET" ];
    outputHash = builtins.hashString "sha256" "set 1\n"; } "echo $IMPURE$UNSET $NIX_OUTPUT_CHECKED > $out";
  fetched = derivation { name = "fetched"; system = "builtin"; builder = "builtin:fetchurl"; url = "@url@"; urls = [ "@url@" ];
    outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "fetched"; executable = false;
    unpack = false; preferLocalBuild = true; };
  program = derivation { name = "program"; system = "builtin"; builder = "builtin:fetchurl"; url = "@url@"; urls = [ "@url@" ];
    outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "@program@"; executable = true; unpack = false; };
  environment = script "environment" {
    long = "a long text: ${low}"; passAsFile = [ "long" ]; empty = ""; number = 3; flag = true;
  } ''env | sort > $out; cat $longPath >> $out; ls -a /build >> $out'';
  graph = script "graph" { exportReferencesGraph = [ "many" many "instructions" flat.drvPath ]; } "cat many instructions > $out";
  structured = script "structured" {
    __structuredAttrs = true; text = "it's"; number = 3; half = 1.5; yes = true; no = false; nothing = null;
    list = [ "a b" 1 true ]; attrs = { "x y" = "z"; n = 2; }; deep = { a = { }; }; "not-a-name" = 1; inherit low;
    exportReferencesGraph = { closure = [ many.out ]; }; outputs = [ "out" "second" ];
  } ''
    cat /build/.attrs.json /build/.attrs.sh > ${builtins.placeholder "out"}
    # Nix 2.8 names these files where they are outside of the sandbox; later ones as we do.
    unset NIX_ATTRS_JSON_FILE NIX_ATTRS_SH_FILE; env | sort > ${builtins.placeholder "second"}
  '';
  machine = script "machine" { } ''
    { id -u; id -g; uname -n; umask; cat /etc/passwd /etc/group /etc/hosts
    ls -a /; ls /etc; stat -c %a /build /tmp ${builtins.storeDir}; } > $out
  '';
  top = script "top" { all = [ low many many.dev many.doc flat sha1 tree impure fetched program environment graph machine ]; }
    "echo $all > $out";
}
"""


def info(store, path):
    """As `Nix.info` tells it."""
    found = store.query(path)
    return found.nar_hash, list(found.references)


async def test_what_nix_instantiates_we_build_to_the_same_bytes(nix, tmp_path, toolchain_tree, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("IMPURE", "set")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("tree\n")
    (tmp_path / "program").write_text("fetched")
    (tmp_path / "program").chmod(0o755)
    hashes = {name: nix.words("nix-hash", "--type", "sha256", str(tmp_path / name))[0] for name in ("tree", "program")}
    expression = nix.expression(toolchain_tree, GRAPH, url=nix.url, **hashes)
    derivations = nix.words("nix-instantiate", expression, "-A", "top", "-A", "structured")
    derivations = [path.partition("!")[0] for path in derivations]
    store = Store(tmp_path / "root", nix.store_dir)
    nix.move(store, derivations)
    nix.run("nix-store", "--realise", *derivations)

    await realise(store, [StorePath.parse(path, nix.store_dir) for path in derivations], settings=BuildSettings(cores=3))

    built = {path for path in nix.words("nix-store", "-qR", "--include-outputs", *derivations) if not path.endswith(".drv")}
    assert len(built) == 17
    shown = {path: nix.run("nix-store", "--dump", path) for path in built}
    ours: dict[str, list[bytes]] = {path: [] for path in built}
    for path in built:
        store.write_nar(path, ours[path].append)
    assert {path: b"".join(pieces) for path, pieces in ours.items()} == shown
    assert {path: info(store, path) for path in built} == {path: nix.info(path) for path in built}


async def test_what_we_write_nix_builds_to_the_same_bytes(nix, tmp_path, toolchain_tree):
    store = Store(tmp_path / "root", nix.store_dir)
    toolchain = str(store.add_tree("toolchain", toolchain_tree))
    libraries = f"{toolchain}/usr/lib/x86_64-linux-gnu:{toolchain}/usr/lib64"
    modulo: dict[str, str] = {}

    def write(name, script, inputs=(), outputs=("out",), fixed=(), **environment):
        draft = Derivation(
            name,
            {output: Output("", *fixed) for output in outputs},
            {str(path): tuple(names) for path, names in inputs},
            (toolchain,),
            "x86_64-linux",
            f"{toolchain}/lib64/ld-linux-x86-64.so.2",
            ("--library-path", libraries, f"{toolchain}/usr/bin/sh", "-e", "-c", script),
            {**environment, **dict.fromkeys(outputs, "")},
        )
        derivation = with_output_paths(draft, modulo.__getitem__, nix.store_dir)
        path = store.write_derivation(derivation)
        modulo[str(path)] = hash_modulo(derivation, modulo.__getitem__)
        return path, {name: output.path for name, output in derivation.outputs.items()}

    low, lows = write("low", "echo low > $out; echo $out > $dev", outputs=("out", "dev"))
    pin = ("sha256", "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4")
    pinned, pins = write("pinned", "echo hi > $out", fixed=pin, outputHash=pin[1], outputHashAlgo=pin[0], outputHashMode="flat")
    needed = [(low, ("dev", "out")), (pinned, ("out",))]
    top, tops = write("top", 'echo "$low $pin" > $out', needed, low=lows["dev"], pin=pins["out"])

    await realise(store, [top])
    stream = io.BytesIO()
    export_paths(store, store.closure([top]), stream.write)
    nix.run("nix-store", "--import", stdin=stream.getvalue())
    nix.run("nix-store", "--realise", str(top))

    for path in (*lows.values(), *pins.values(), *tops.values()):
        assert nix.info(path) == info(store, path)
