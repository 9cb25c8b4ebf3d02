"""How fast the store and the builder are: whole commands, Python's start included, beside real Nix at the same work.

Nix works in a chroot store of its own, with its defaults but for the network: it syncs its database and not the files. Ours is
as durable as it always is. The derivations are the same files on both sides: Nix writes them, and we import them. Times are
medians of whole processes, which take turns. Nothing is asked of any host.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Row, report, row
from deployer.formats.hashes import Hash
from deployer.formats.storepath import make_text_path
from deployer.store import PathInfo, Store

DERIVATIONS: Final = 200
FILES: Final = 20_000
BYTES: Final = 300 << 20
GROWN: Final = 100_000
ADDED: Final = 100
"""Paths that are added, one at a time, to see what one costs."""
SECONDS: Final = 900.0
"""The longest that one command may take."""
CONFIGURATION: Final = (
    "build-users-group =\nsandbox = true\nsandbox-paths =\nsubstituters =\nexperimental-features = nix-command\n"
)
EXPRESSION: Final = """
let
  t = builtins.storePath "@toolchain@";
  one = n: derivation {
    name = "one-${toString n}";
    system = "x86_64-linux";
    builder = "${t}/loader";
    args = [ "--library-path" t "${t}/sh" "-c" "echo @run@ ${toString n} > $out" ];
  };
in builtins.genList one @count@
"""


class Failed(Exception):
    """A command failed, or did not do its work."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A directory with both stores in it."""

    directory: Path
    jobs: int

    def nix(self, *command: str, stdin: bytes = b"") -> tuple[float, bytes]:
        """Run one of Nix's commands on its store."""
        environment = {"NIX_REMOTE": str(self.directory / "nix"), "NIX_CONF_DIR": str(self.directory)}
        return self._run(command, environment, stdin)

    def ours(self, *arguments: str, stdin: bytes = b"") -> tuple[float, bytes]:
        """Run `deployer store` on ours."""
        command = (sys.executable, "-m", "deployer", "store", *arguments)
        return self._run(command, {"DEPLOYER_STORE_ROOT": str(self.directory / "ours")}, stdin)

    def piped(self, command: Iterable[str], environment: Mapping[str, str]) -> float:
        """Seconds of `command | sha256sum`."""
        began = time.monotonic()
        with subprocess.Popen(tuple(command), env={**os.environ, **environment}, stdout=subprocess.PIPE) as writer:
            subprocess.run(["sha256sum"], stdin=writer.stdout, stdout=subprocess.DEVNULL, check=True, timeout=SECONDS)
        if writer.returncode:
            raise Failed(f"{writer.args!r} ended with {writer.returncode}")
        return time.monotonic() - began

    def _run(self, command: tuple[str, ...], environment: Mapping[str, str], stdin: bytes) -> tuple[float, bytes]:
        own = {"HOME": str(self.directory), "XDG_CACHE_HOME": str(self.directory / "cache")}
        began = time.monotonic()
        done = subprocess.run(
            command, env={**os.environ, **own, **environment}, input=stdin, capture_output=True, timeout=SECONDS, check=False
        )
        took = time.monotonic() - began
        if done.returncode:
            raise Failed(f"{' '.join(command[:5])} … ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
        return took, done.stdout


def toolchain(directory: Path) -> Path:
    """This machine's shell, with what it needs to start, in one directory."""
    tree = directory / "toolchain"
    tree.mkdir()
    shell = os.path.realpath("/bin/sh")
    shutil.copy(shell, tree / "sh")
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+\.so\S*)", listed):
        name = "loader" if "/ld-linux" in library else Path(library).name
        shutil.copy(library, tree / name)
    return tree


def builds(bench: Bench, runs: int) -> list[Row]:
    """One-line derivations, all new each time; and the same again, when there is nothing to do."""
    tree = toolchain(bench.directory)
    stored = bench.nix("nix-store", "--add", str(tree))[1].decode().strip()
    if bench.ours("add", str(tree))[1].decode().strip() != stored:
        raise Failed("the two stores name the toolchain differently")
    times: dict[str, list[float]] = {
        name: [] for name in ("ours", "nix-build", "nix-store", "ours again", "build again", "store again")
    }
    parallel = ("-j", str(bench.jobs))
    for run in range(runs):
        derivations = instantiate(bench, stored, f"a{run}")
        exported = bench.nix("nix-store", "--export", *requisites(bench, derivations))[1]
        bench.ours("import", stdin=exported)
        ours, made = bench.ours("realise", *parallel, *derivations)
        times["ours"].append(ours)
        theirs, made_there = bench.nix("nix-store", "--realise", *parallel, *derivations)
        times["nix-store"].append(theirs)
        if made.split() != made_there.split():
            raise Failed("the two builders made different paths")
        expression = write(bench, stored, f"b{run}")
        times["nix-build"].append(bench.nix("nix-build", "--no-out-link", *parallel, expression)[0])
        times["ours again"].append(bench.ours("realise", *derivations)[0])
        times["store again"].append(bench.nix("nix-store", "--realise", *derivations)[0])
        times["build again"].append(bench.nix("nix-build", "--no-out-link", expression)[0])
    work, idle = f"build-{DERIVATIONS}", "nothing-to-build"
    return [
        row(work, "nix-build", times["ours"], times["nix-build"]),
        row(work, "nix-store", times["ours"], times["nix-store"]),
        row(idle, "nix-build", times["ours again"], times["build again"]),
        row(idle, "nix-store", times["ours again"], times["store again"]),
    ]


def write(bench: Bench, stored: str, run: str) -> str:
    """An expression of derivations that nobody has built."""
    file = bench.directory / f"{run}.nix"
    text = EXPRESSION.replace("@toolchain@", stored).replace("@run@", run).replace("@count@", str(DERIVATIONS))
    file.write_text(text, encoding="utf-8")
    return str(file)


def instantiate(bench: Bench, stored: str, run: str) -> list[str]:
    """Their paths."""
    return bench.nix("nix-instantiate", write(bench, stored, run))[1].decode().split()


def requisites(bench: Bench, paths: list[str]) -> list[str]:
    """All that paths need, what is needed first."""
    return bench.nix("nix-store", "--query", "--requisites", *paths)[1].decode().split()


def trees(bench: Bench, runs: int) -> list[Row]:
    """A tree of many files: its NAR hashed, and added to the store."""
    tree = bench.directory / "tree"
    content = hashlib.shake_256(b"deployer").digest(BYTES // FILES)
    for number in range(FILES):
        file = tree / f"{number // 200:03}" / f"{number:05}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(number.to_bytes(4, "big") + content)
    times: dict[str, list[float]] = {name: [] for name in ("dump", "hash", "nix dump", "add", "nix add", "nix add optimised")}
    optimising = {"NIX_CONFIG": "auto-optimise-store = true"}
    for run in range(runs):
        python = (sys.executable, "-m", "deployer", "store")
        times["nix dump"].append(bench.piped(("nix-store", "--dump", str(tree)), {"HOME": str(bench.directory)}))
        times["dump"].append(bench.piped((*python, "dump", str(tree)), {}))
        times["hash"].append(bench.ours("hash", str(tree))[0])
        (tree / "run").write_text(str(run))
        os.sync()
        times["add"].append(bench.ours("add", str(tree))[0])
        os.sync()
        times["nix add"].append(bench.nix("nix-store", "--add", str(tree))[0])
        (tree / "run").write_text(f"{run} optimised")
        os.sync()
        command = ("env", *(f"{name}={value}" for name, value in optimising.items()), "nix-store", "--add", str(tree))
        times["nix add optimised"].append(bench.nix(*command)[0])
    return [
        row("nar-dump-and-hash", "nix-store --dump | sha256sum", times["dump"], times["nix dump"]),
        row("nar-hash", "nix-store --dump | sha256sum", times["hash"], times["nix dump"]),
        row("add-tree", "nix-store --add", times["add"], times["nix add"]),
        row("add-tree", "nix-store --add, optimising", times["add"], times["nix add optimised"]),
    ]


def growth(bench: Bench) -> list[Row]:
    """What a path costs in a store that has many."""
    store = Store(bench.directory / "grown")

    def add(label: str) -> list[float]:
        return [_timed(lambda number=number: store.add_text(f"{label}-{number}", b"x")) for number in range(ADDED)]  # type: ignore[misc]

    few = add("few")
    digest = Hash("sha256", hashlib.sha256(b"").digest()).base32
    paths = [str(make_text_path("grown", str(number).encode(), (), store.store_dir)) for number in range(GROWN)]
    for at in range(0, GROWN, 10_000):
        infos = (PathInfo(path, digest, 1, (paths[number - 1],) if number else ()) for number, path in enumerate(paths))
        store.database.register([info for number, info in enumerate(infos) if at <= number < at + 10_000])
    return [row(f"a-path-among-{GROWN}", "a path among few", add("many"), few)]


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> int:
    """Run the benchmark; 1 if it failed."""
    parser = argparse.ArgumentParser(prog="script/bench store")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deployer-bench-") as directory:
        bench = Bench(Path(directory), given.jobs)
        (bench.directory / "nix.conf").write_text(CONFIGURATION, encoding="utf-8")
        try:
            results = [*builds(bench, given.runs), *trees(bench, given.runs), *growth(bench)]
        except (Failed, subprocess.SubprocessError) as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
        finally:
            subprocess.run(["chmod", "-R", "u+w", directory], check=False)
    report(results, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
