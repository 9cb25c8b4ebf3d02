"""Making one derivation: lock, look again, build aside, check, register."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deployer.build.builtins import PREFIX, BuiltinJob, clear
from deployer.build.errors import BuilderUnknown, HashMismatch, OutputMissing
from deployer.build.fetch import Progress, sri
from deployer.build.graph import Node, read_derivation
from deployer.build.sandbox import ETC_FILES, SandboxSpec, build_environment
from deployer.build.sandboxed import RunLimits, run_in_sandbox
from deployer.build.settings import BuildSettings
from deployer.formats import StorePath
from deployer.store import Store
from deployer.store.trees import write_nar

InThread = Callable[..., Awaitable[Any]]
_OUR_SYSTEMS: Final = ("builtin", f"{platform.machine()}-linux")


class Maker:
    """Makes derivations for one run of `realise`."""

    def __init__(self, store: Store, settings: BuildSettings, in_thread: InThread, cancelled: threading.Event) -> None:
        """`in_thread` runs a function off the event loop."""
        self._store, self._settings, self._in_thread, self._cancelled = store, settings, in_thread, cancelled
        self._mirrors = functools.cache(self._find_mirrors)

    async def make(
        self, node: Node, *, on_start: Callable[[], None], on_line: Callable[[str], None], on_progress: Progress
    ) -> bool:
        """Make a derivation whose inputs are valid. Returns whether anything had to be done: another process may have done it."""
        resources = contextlib.ExitStack()
        try:
            if not await self._in_thread(self._prepare, node, resources):
                return False
            on_start()
            scratch = Path(resources.enter_context(self._scratch()))
            builder = node.derivation.builder
            if node.derivation.system not in _OUR_SYSTEMS:
                raise BuilderUnknown(str(node.path), node.derivation.system)
            if builder.startswith(PREFIX):
                made = {"out": scratch / "output"}
                job = self._builtin_job(node, made["out"], scratch, on_progress)
                await self._in_thread(job.run)
            else:
                made = await self._run_script(node, scratch, on_line)
            await self._in_thread(self._register, node, made)
            return True
        except HashMismatch as mismatch:
            if mismatch.place is None and self._settings.place_of is not None:
                mismatch.place = self._settings.place_of(str(node.outputs["out"]))
            raise
        finally:
            await self._in_thread(resources.close)

    def _prepare(self, node: Node, resources: contextlib.ExitStack) -> bool:
        resources.enter_context(self._store.lock_paths(node.outputs.values()))
        return not all(self._store.is_valid(output) for output in node.outputs.values())

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[str]:
        parent = self._store.temporary_directory
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
        try:
            yield str(scratch)
        finally:
            clear(scratch)

    def _builtin_job(self, node: Node, destination: Path, scratch: Path, on_progress: Progress) -> BuiltinJob:
        return BuiltinJob(
            derivation=str(node.path),
            builder=node.derivation.builder,
            environment=node.derivation.environment,
            physical=self._store.physical,
            destination=destination,
            scratch=scratch,
            settings=self._settings,
            mirrors=self._mirrors,
            progress=on_progress,
            cancelled=self._cancelled,
        )

    async def _run_script(self, node: Node, scratch: Path, on_line: Callable[[str], None]) -> dict[str, Path]:
        derivation, store = node.derivation, self._store
        for name in ("store", "build", "etc"):
            (scratch / name).mkdir()
        for name, content in ETC_FILES.items():
            (scratch / "etc" / name).write_text(content)
        closure = await self._in_thread(self._input_closure, node)
        toolchain = derivation.environment.get("toolchain", "")
        spec = SandboxSpec(
            builder=derivation.builder,
            arguments=tuple(derivation.arguments),
            environment=build_environment(derivation.environment, store_directory=store.store_dir, cores=self._settings.cores),
            store_directory=store.store_dir,
            scratch_store=scratch / "store",
            build_directory=scratch / "build",
            etc_directory=scratch / "etc",
            inputs={str(path): store.physical(path) for path in closure},
            toolchain=store.physical(toolchain) if toolchain in {str(path) for path in closure} else None,
        )
        limits = RunLimits(self._settings.timeout, self._settings.silence_timeout, self._settings.log_limit)
        await run_in_sandbox(
            spec, derivation=str(node.path), log_file=log_file(store, str(node.path)), limits=limits, on_line=on_line
        )
        made = {name: scratch / "store" / Path(str(path)).name for name, path in node.outputs.items()}
        for name, physical in made.items():
            if not physical.exists() and not physical.is_symlink():
                raise OutputMissing(str(node.path), name)
        return made

    def _input_closure(self, node: Node) -> list[StorePath]:
        """What the build may see: its sources, the outputs it asked for, and all that they refer to."""
        store, derivation = self._store, node.derivation
        wanted = [StorePath.parse(str(source)) for source in derivation.input_sources]
        for path, names in derivation.input_derivations.items():
            needed = read_derivation(store, str(path))
            wanted += [StorePath.parse(str(needed.outputs[name].path)) for name in names]
        return list(store.closure(wanted))

    def _register(self, node: Node, made: Mapping[str, Path]) -> None:
        """Check fixed outputs, and hand what was made to the store."""
        store = self._store
        candidates = [*self._input_closure(node), *node.outputs.values()]
        for name, output in node.outputs.items():
            fixed = node.derivation.outputs[name]
            if fixed.digest:
                self._check(str(output), made[name], fixed.algorithm, fixed.digest)
        for name, output in node.outputs.items():
            store.register_output(output, made[name], candidates=candidates, deriver=node.path)

    def _check(self, output: str, made: Path, algorithm: str, expected: str) -> None:
        recursive = algorithm.startswith("r:")
        plain = algorithm.removeprefix("r:")
        if not recursive and (made.is_symlink() or not made.is_file() or made.stat().st_mode & 0o100):
            raise OutputMissing(output, "out: a plain file that is not executable")
        found = _hash_nar(made, plain) if recursive else _hash_file(made, plain)
        if found.hex() != expected:
            raise HashMismatch(output, sri(plain, bytes.fromhex(expected)), sri(plain, found))

    def _find_mirrors(self) -> Mapping[str, Sequence[str]]:
        if self._settings.mirrors is not None:
            return self._settings.mirrors
        from deployer.packages.mirrors import find_mirrors, mirror_urls

        return {"debian": mirror_urls(find_mirrors())}


def log_file(store: Store, derivation: str) -> Path:
    """Where the log of the last build of a derivation is kept."""
    return store.log_directory / f"{Path(derivation).name}.log"


def _hash_file(file: Path, algorithm: str) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).digest()


def _hash_nar(path: Path, algorithm: str) -> bytes:
    digest = hashlib.new(algorithm)
    write_nar(str(path), digest.update)
    return digest.digest()
