"""Derivations go between Nix and us: what one instantiates, the other builds, to the same bytes."""

import http.server
import io
import os
import shutil
import subprocess
import threading

import pytest

from deployer.build import BuildSettings, realise
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
    for p in cat mkdir ln chmod env sort ls stat id uname cp; do eval "$p() { run $p \\"\\$@\\"; }"; done
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
    { id -u; id -g; uname -n; umask; cat /etc/passwd /etc/group /etc/hosts; ls -a /; ls /etc; stat -c %a /build /tmp ${builtins.storeDir}; } > $out
  '';
  top = script "top" { all = [ low many many.dev many.doc flat sha1 tree fetched program environment graph machine ]; }
    "echo $all > $out";
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


def move(nix, store, paths):
    """Copy paths out of Nix's store into ours."""
    closure = nix.words("nix-store", "-qR", *paths)
    import_paths(store, io.BytesIO(nix.run("nix-store", "--export", *closure)).read)


async def test_what_nix_instantiates_we_build_to_the_same_bytes(nix, tmp_path, toolchain_tree, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
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
    assert len(built) == 16
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
