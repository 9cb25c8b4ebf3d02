"""Container images as peers: one for each program, built by buildah on one shared base layer, as people write them.

What a registry would send is what an OCI layout holds: the compressed layers, and of each image its configuration and manifest.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.debian import ENVIRONMENT, PIP, Cost, Debian, occupied, run
from benchmarks.programs import APPLICATION, Program

_BASE: Final = "localhost/base"
_TIDY: Final = "rm -rf /var/lib/apt/lists/* /var/cache/apt/*"


@dataclass(frozen=True, slots=True)
class Images:
    """Images of some programs, before and after the update of the library."""

    directory: Path
    debian: Debian
    same_dates: bool = False
    """Whether all that a build writes gets one date, so that a layer whose content did not change stays the same layer."""

    def build(self, programs: Sequence[Program], *, updated: bool) -> None:
        """Build the images, and write them to the layout of their state. Raises `DebianFailed`."""
        context = self.directory / "context"
        context.mkdir(parents=True, exist_ok=True)
        if not updated:
            shutil.copy(self.debian.base, context / "base.tar")
            (context / "base").write_text("FROM scratch\nADD base.tar /\n", encoding="utf-8")
            self._build("base", context, ())
        (context / "application.py").write_text(APPLICATION, encoding="utf-8")
        sources, preferences = self.debian.settings(updated=updated)
        mounts = (
            f"--volume={sources}:/etc/apt/sources.list.d:ro",
            f"--volume={preferences}:/etc/apt/preferences.d:ro",
            f"--volume={self.debian.wheels}:/wheels:ro",
        )
        for program in programs:
            (context / program.name).write_text(self._recipe(program), encoding="utf-8")
            # The recipe has not changed with the library, so what was built before would be taken for good.
            self._build(program.name, context, (*mounts, *(["--no-cache"] if updated else [])))
            self._run("push", "--quiet", f"localhost/{program.name}", f"oci:{self._layout(updated=updated)}:{program.name}")

    def deploy(self, programs: Sequence[Program], name: str) -> tuple[Cost, Cost]:
        """Bring the images to a machine that has none of them, and then the updated ones: both costs. Raises `DebianFailed`."""
        storage = self.directory / f"machine-{name}"
        held: dict[str, int] = {}
        costs = []
        for updated in (False, True):
            layout = self._layout(updated=updated)
            wanted = {digest: size for program in programs for digest, size in blobs(layout, program.name).items()}
            wire = sum(size for digest, size in wanted.items() if digest not in held)
            held |= wanted
            before = occupied(storage) if updated else 0
            began = time.monotonic()
            for program in programs:
                run([*_buildah(storage), "pull", "--quiet", f"oci:{layout}:{program.name}"])
            took = time.monotonic() - began
            costs.append(Cost(wire, occupied(storage) - before, took))
        shutil.rmtree(storage)
        return costs[0], costs[1]

    def base(self, program: Program) -> int:
        """Bytes of the shared layer."""
        layout = self._layout(updated=False)
        return manifest(layout, program.name)["layers"][0]["size"]  # type: ignore[no-any-return]

    def _recipe(self, program: Program) -> str:
        install = f"apt-get update && apt-get install --yes --no-install-recommends {' '.join(program.debian)}"
        steps = [f"FROM {_BASE}", f"RUN {install} && {_TIDY}"]
        if program.wheels:
            # Byte code carries the dates of what it was made from.
            no_byte_code = f" && find {ENVIRONMENT} -name __pycache__ -prune -exec rm -r {{}} +" if self.same_dates else ""
            steps += [f"RUN {PIP}{no_byte_code}", f"COPY application.py {ENVIRONMENT}/"]
        return "\n".join([*steps, ""])

    def _build(self, name: str, context: Path, more: Sequence[str]) -> None:
        dates = ["--timestamp=0"] if self.same_dates else []
        how = ("--layers", "--isolation=chroot", "--quiet", *dates, *more)
        self._run("build", *how, f"--tag=localhost/{name}", f"--file={context / name}", str(context))

    def _layout(self, *, updated: bool) -> Path:
        return self.directory / ("after" if updated else "before")

    def _run(self, *arguments: str) -> None:
        run([*_buildah(self.directory / "storage"), *arguments])


def blobs(layout: Path, name: str) -> dict[str, int]:
    """All that an image of a layout consists of: digests and sizes."""
    read = manifest(layout, name)
    parts = {part["digest"]: part["size"] for part in [read["config"], *read["layers"]]}
    return parts | {entry["digest"]: entry["size"] for entry in _entries(layout, name)}


def manifest(layout: Path, name: str) -> Any:
    """The manifest of an image of a layout."""
    digest = _entries(layout, name)[0]["digest"]
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text(encoding="utf-8"))


def _entries(layout: Path, name: str) -> list[Any]:
    index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
    return [one for one in index["manifests"] if one["annotations"]["org.opencontainers.image.ref.name"] == name]


def _buildah(storage: Path) -> tuple[str, ...]:
    return ("buildah", "--root", str(storage / "root"), "--runroot", str(storage / "run"), "--storage-driver=overlay")
