"""A small root tree for the sandbox, made of this machine's own programs, and a store to build with it: no network needed."""

import http.server
import io
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from deployer.build import BuildSettings, realise
from deployer.formats import Derivation, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.store import Store
from deployer.store.exporting import import_paths

PROGRAMS = (
    "sh",
    "cat",
    "ls",
    "id",
    "mkdir",
    "touch",
    "chmod",
    "cp",
    "ln",
    "sleep",
    "env",
    "echo",
    "head",
    "stat",
    "uname",
    "rm",
    "yes",
    "sort",
    "mkfifo",
    "mknod",
    "date",
    "find",
    "mv",
    "patch",
)


@pytest.fixture(scope="session")
def toolchain_tree(tmp_path_factory):
    """usr/bin and the libraries that its programs load."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    return make_toolchain(tmp_path_factory.mktemp("toolchain") / "root")


def make_toolchain(root):
    """The same anywhere."""
    (root / "usr/bin").mkdir(parents=True)
    for directory in ("lib", "lib64"):
        (root / "usr" / directory).mkdir()
        (root / directory).symlink_to(f"usr/{directory}")
    (root / "bin").symlink_to("usr/bin")
    for program in PROGRAMS:
        real = os.path.realpath(shutil.which(program) or program)
        shutil.copy(real, root / "usr/bin" / program)
        listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+\.so\S*)", listed):
            target = root / (library.lstrip("/") if library.startswith("/usr") else f"usr{library}")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    return Path(root)


class Workshop:
    """A store with a toolchain, and what its builds told."""

    def __init__(self, root, toolchain):
        self.store, self.events = Store(root), []
        self.toolchain = str(self.store.add_tree("toolchain", toolchain))
        self._modulo = {}

    def script(self, name, script, *inputs, outputs=("out",), fixed=None, system="x86_64-linux", builder="/bin/sh", **attributes):
        """A derivation that runs a script. `inputs` are derivations' paths; `fixed` an algorithm and a digest."""
        needed = {str(item): tuple(self.outputs(item)) for item in inputs}
        draft = Derivation(
            name,
            {output: Output("", *fixed) if fixed else Output() for output in outputs},
            needed,
            (self.toolchain,),
            system,
            builder,
            ("-e", "-c", script),
            {
                "PATH": "/usr/bin",
                "toolchain": self.toolchain,
                "inputs": " ".join(path for item in inputs for path in self.outputs(item).values()),
                **attributes,
                **dict.fromkeys(outputs, ""),
            },
        )
        derivation = with_output_paths(draft, self._modulo.__getitem__)
        path = self.store.write_derivation(derivation)
        self._modulo[str(path)] = hash_modulo(derivation, self._modulo.__getitem__)
        return path

    def outputs(self, path):
        text = self.store.physical(path).read_text()
        return {name: output.path for name, output in Derivation.parse(text, path.name).outputs.items()}

    def output(self, path, name="out"):
        return StorePath.parse(self.outputs(path)[name])

    async def realise(self, *paths, **settings):
        """Build, and return where the first's output lies."""
        await realise(self.store, paths, settings=BuildSettings(**settings), on_event=self.events.append)
        return self.store.physical(next(iter(self.outputs(paths[0]).values())))

    def names(self, kind):
        return [event.name for event in self.events if isinstance(event, kind)]


@pytest.fixture
def workshop(tmp_path, toolchain_tree):
    return Workshop(tmp_path / "root", toolchain_tree)


NIX_CONFIGURATION = """
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


class Nix:
    """Nix's commands on a private store directory; the machine's own is never touched."""

    def __init__(self, directory, url):
        self.directory, self.store_dir, self.url = directory, str(directory / "store"), url
        (directory / "conf").mkdir(parents=True)
        (directory / "conf" / "nix.conf").write_text(NIX_CONFIGURATION)
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

    def expression(self, toolchain_tree, text, **values):
        """A file that begins with `LIBRARY`; `@NAME@` stands for values."""
        (toolchain,) = self.words("nix-store", "--add", str(toolchain_tree))
        whole = LIBRARY + text
        for name, value in {"toolchain": toolchain, **values}.items():
            whole = whole.replace(f"@{name}@", value)
        file = self.directory / "expression.nix"
        file.write_text(whole)
        return str(file)

    def move(self, store, paths):
        """Copy paths, and what they refer to, out of Nix's store into ours."""
        closure = self.words("nix-store", "-qR", *paths)
        import_paths(store, io.BytesIO(self.run("nix-store", "--export", *closure)).read)

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
