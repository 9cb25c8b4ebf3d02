"""Derivations go between Nix and us: what one instantiates, the other builds, to the same bytes."""

import http.server
import io
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployer.build import BuildSettings, realise
from deployer.errors import ManyErrors
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store
from deployer.store.exporting import export_paths, import_paths

pytestmark = pytest.mark.nix

CONFIGURATION = """
build-users-group =
sandbox = true
sandbox-paths =
cores = 3
substituters =
log-lines = 100
"""

# Programs of the toolchain can only be started by its own loader: in a store, nothing stands at /lib64.
LIBRARY = """
let
  t = builtins.storePath "@toolchain@";
  libraries = "${t}/usr/lib/x86_64-linux-gnu:${t}/usr/lib64";
  loader = "${t}/lib64/ld-linux-x86-64.so.2";
  prelude = ''
    run() { p=$1; shift; ${loader} --library-path ${libraries} ${t}/usr/bin/$p "$@"; }
    for p in cat mkdir ln chmod env sort ls stat id uname cp mkfifo mknod; do eval "$p() { run $p \\"\\$@\\"; }"; done
  '';
  script = name: attributes: text: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = loader;
    args = [ "--library-path" libraries "${t}/usr/bin/sh" "-e" "-c" (prelude + text) ];
  } // attributes);
in
"""
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

# Scripts that end well or badly, and what is demanded of what they made.
VERDICTS = """
let
  low = script "low" { } "echo low > $out";
  high = script "high" { inherit low; } "echo $low > $out";
  checked = name: checks: script name { __structuredAttrs = true; outputChecks.out = checks; inherit high; };
  out = builtins.placeholder "out";
in {
  a1 = script "a1" { allowedReferences = [ ]; inherit low; } "echo $low > $out";
  a2 = script "a2" { allowedReferences = [ low ]; inherit low; } "echo $low > $out";
  a3 = script "a3" { allowedReferences = [ ]; } "echo $out > $out";
  a4 = script "a4" { allowedReferences = [ "out" ]; } "echo $out > $out";
  a5 = script "a5" { allowedReferences = [ "nothing" ]; } "echo > $out";
  b1 = script "b1" { allowedRequisites = [ high ]; inherit high; } "echo $high > $out";
  b2 = script "b2" { allowedRequisites = [ high low ]; inherit high; } "echo $high $out > $out";
  c1 = script "c1" { disallowedReferences = [ low ]; inherit high; } "echo $high > $out";
  c2 = script "c2" { disallowedReferences = [ high ]; inherit high; } "echo $high > $out";
  d1 = script "d1" { disallowedRequisites = [ low ]; inherit high; } "echo $high > $out";
  d2 = script "d2" { disallowedRequisites = [ "out" ]; inherit high; } "echo $out > $out";
  e1 = checked "e1" { maxSize = 10; } "echo > ${out}";
  e2 = checked "e2" { maxSize = 1000; } "echo > ${out}";
  e3 = checked "e3" { maxClosureSize = 300; } "echo ${high} > ${out}";
  e4 = checked "e4" { maxClosureSize = 3000; } "echo ${high} > ${out}";
  e5 = checked "e5" { disallowedRequisites = [ low ]; } "echo ${high} > ${out}";
  e6 = checked "e6" { allowedRequisites = [ ]; } "echo ${out} > ${out}";
  e7 = checked "e7" { allowedRequisites = [ ]; ignoreSelfRefs = true; } "echo ${out} > ${out}";
  f1 = script "f1" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo $out > $dev";
  f2 = script "f2" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo > $dev";
  f3 = script "f3" { outputs = [ "out" "dev" ]; } "echo > $out";
  g1 = script "g1" { } "mkfifo $out";
  g2 = script "g2" { } "mkdir $out; mkfifo $out/fifo";
  g3 = script "g3" { } "echo > $out; chmod 666 $out";
  g4 = script "g4" { } "echo > $out; chmod 4755 $out";
  g5 = script "g5" { } "echo > $out; chmod 2755 $out";
  g6 = script "g6" { } "ln -s /nowhere $out";
  g7 = script "g7" { } "mkdir $out; echo > $out/a; ln $out/a $out/b; chmod 777 $out/a";
  g8 = script "g8" { } "mkdir $out; mkdir -m 0 $out/closed; echo > $out/none; chmod 0 $out/none";
  g9 = script "g9" { } "mknod $out c 1 3";
  h1 = script "h1" { exportReferencesGraph = [ "odd" ]; } "echo > $out";
  h2 = script "h2" { exportReferencesGraph = [ "../up" low ]; } "echo > $out";
  i1 = script "i1" { requiredSystemFeatures = [ "nobody-has-this" ]; } "echo > $out";
  i2 = script "i2" { requiredSystemFeatures = [ "big-parallel" ]; preferLocalBuild = true; } "echo > $out";
  j1 = script "j1" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "x"; } "echo > $out";
  j2 = script "j2" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "\\n"; } "mkdir $out";
  j3 = script "j3" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "\\n"; } "echo > $out; chmod +x $out";
}
"""


class Nix:
    """Nix's commands on a private store directory; the machine's own is never touched."""

    def __init__(self, directory, url):
        self.directory, self.store_dir, self.url = directory, str(directory / "store"), url
        (directory / "conf").mkdir(parents=True)
        (directory / "conf" / "nix.conf").write_text(CONFIGURATION)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "IMPURE": "set",
            "NIX_REMOTE": "",
            "NIX_CONF_DIR": str(directory / "conf"),
            "NIX_STORE_DIR": self.store_dir,
            "NIX_STATE_DIR": str(directory / "var"),
            "NIX_LOG_DIR": str(directory / "log"),
        }

    def run(self, *command, stdin=b""):
        done = subprocess.run(command, input=stdin, env=self.environment, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def status(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=120, check=False).returncode

    def words(self, *command):
        return self.run(*command).decode().split()

    def info(self, path):
        """The NAR's hash, and the references."""
        (nar_hash,) = self.words("nix-store", "-q", "--hash", path)
        return nar_hash, sorted(self.words("nix-store", "-q", "--references", path))


@pytest.fixture
def nix(tmp_path):
    if not shutil.which("nix-store"):
        if os.environ.get("CI"):
            pytest.fail("nix-bin is not installed, and CI must compare with it")
        pytest.skip("nix-bin is not installed")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"fetched")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Nix(tmp_path / "nix", f"http://127.0.0.1:{server.server_port}/file")
    server.shutdown()
    server.server_close()


def info(store, path):
    found = store.query(path)
    return found.nar_hash, list(found.references)


def names(paths):
    return sorted(path.rpartition("/")[2][33:] for path in paths)


def move(nix, store, paths):
    """Copy paths out of Nix's store into ours."""
    closure = nix.words("nix-store", "-qR", *paths)
    import_paths(store, io.BytesIO(nix.run("nix-store", "--export", *closure)).read)


async def test_what_nix_instantiates_we_build_to_the_same_bytes(nix, tmp_path, toolchain_tree, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("IMPURE", "set")
    (toolchain,) = nix.words("nix-store", "--add", str(toolchain_tree))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("tree\n")
    (tmp_path / "program").write_text("fetched")
    (tmp_path / "program").chmod(0o755)
    values = {"toolchain": toolchain, "url": nix.url}
    values |= {name: nix.words("nix-hash", "--type", "sha256", str(tmp_path / name))[0] for name in ("tree", "program")}
    expression = LIBRARY + GRAPH
    for name, value in values.items():
        expression = expression.replace(f"@{name}@", value)
    (tmp_path / "graph.nix").write_text(expression)
    derivations = nix.words("nix-instantiate", str(tmp_path / "graph.nix"), "-A", "top", "-A", "structured")
    derivations = [path.partition("!")[0] for path in derivations]
    store = Store(tmp_path / "root", nix.store_dir)
    move(nix, store, derivations)
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


def random_graph(dice, size=14):
    """An expression of derivations that use each other's outputs, and leave references or none; the last uses all."""
    nodes, named = [], []
    for number in range(size):
        inputs = dice.sample(named, min(len(named), dice.randrange(4)))
        if dice.random() < 0.2:
            algorithm = dice.choice(["md5", "sha1", "sha256", "sha512"])
            attributes = f'outputHashAlgo = "{algorithm}"; outputHash = builtins.hashString "{algorithm}" "{number}\\n";'
            outputs, script = ["out"], f"echo {number} > $out"
        else:
            outputs = ["out", *dice.sample(["dev", "lib", "doc"], dice.randrange(3))]
            attributes = "outputs = [ " + " ".join(f'"{output}"' for output in outputs) + " ];"
            script = "; ".join(random_output(dice, place, outputs[:place], output) for place, output in enumerate(outputs))
        attributes += f" inputs = [ {' '.join(inputs)} ];"
        nodes.append(f"  n{number} = script \"n{number}\" {{ {attributes} }} ''{script}'';")
        named += [f"n{number}.{output}" for output in outputs]
    every = f"  top = script \"top\" {{ inputs = [ {' '.join(named)} ]; }} ''echo $inputs > $out'';"
    return "rec {\n" + "\n".join([*nodes, every]) + "\n}\n"


def random_output(dice, place, earlier, output):
    """Part of a script: one output, which may refer to inputs, to earlier outputs, and to itself."""
    words = dice.sample(["$inputs", f"${output}", "word", *(f"${name}" for name in earlier)], dice.randrange(1, 3))
    text = " ".join(words)
    return dice.choice(
        [
            f'echo "{text}" > ${output}',
            f'echo "{text}" > ${output}; chmod 755 ${output}',
            f'mkdir -p ${output}/a/b; echo "{text}" > ${output}/a/file; ln -s "{text}" ${output}/a/b/link',
            f"ln -s {place} ${output}",
        ]
    )


@pytest.mark.parametrize("part", range(2))
async def test_random_graphs_are_built_to_the_same_bytes(nix, tmp_path, toolchain_tree, part):
    seed = random.randrange(1 << 30)
    sys.stdout.write(f"part {part}, seed {seed}\n")
    (toolchain,) = nix.words("nix-store", "--add", str(toolchain_tree))
    (tmp_path / "graph.nix").write_text(LIBRARY.replace("@toolchain@", toolchain) + random_graph(random.Random(seed)))
    (derivation,) = nix.words("nix-instantiate", str(tmp_path / "graph.nix"), "-A", "top")
    store = Store(tmp_path / "root", nix.store_dir)
    move(nix, store, [derivation])
    nix.run("nix-store", "--realise", derivation)

    await realise(store, [StorePath.parse(derivation, nix.store_dir)])

    built = [path for path in nix.words("nix-store", "-qR", "--include-outputs", derivation) if not path.endswith(".drv")]
    assert len(built) > 14
    assert {path: info(store, path) for path in built} == {path: nix.info(path) for path in built}


async def test_nix_and_we_refuse_and_take_the_same(nix, tmp_path, toolchain_tree):
    (toolchain,) = nix.words("nix-store", "--add", str(toolchain_tree))
    (tmp_path / "verdicts.nix").write_text((LIBRARY + VERDICTS).replace("@toolchain@", toolchain))
    derivations = nix.words("nix-instantiate", str(tmp_path / "verdicts.nix"))
    outputs = nix.words("nix-store", "-q", "--outputs", *derivations)
    store = Store(tmp_path / "root", nix.store_dir)
    move(nix, store, derivations)
    # One by one: some failures end the whole run of Nix, in spite of --keep-going.
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda path: nix.status("nix-store", "--realise", path), derivations))
    assert {0} < set(statuses)
    invalid = set(nix.words("nix-store", "--check-validity", "--print-invalid", *outputs))

    with pytest.raises(ManyErrors):
        await realise(
            store, [StorePath.parse(path, nix.store_dir) for path in derivations], settings=BuildSettings(keep_going=True)
        )

    assert names(path for path in outputs if not store.is_valid(path)) == names(invalid)
    assert {"a2", "b2", "c1", "e2", "f2", "f2-dev", "g7", "i2"} <= set(names(set(outputs) - invalid))


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
