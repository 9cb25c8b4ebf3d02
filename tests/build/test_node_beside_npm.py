"""A project as we unpack it, beside what npm itself makes of the same lock file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployer.build.limits import Limits
from deployer.build.node_environment import NodeProject, NpmTarball
from deployer.packages.npm import NodePlatform, select_packages
from tests.tarballs import integrity, make_tarball, served

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
PLACES: dict[str, dict[str, Any]] = {
    "node_modules/web": {"bin": {"web": "bin/web.js", "serve": "./serve.js", "none": "gone.js"}, "dependencies": {"ms": "2"}},
    "node_modules/hub": {"dependencies": {"@scope/tool": "1", "serve-it": "1", "serve_it": "1"}},
    "node_modules/web/node_modules/ms": {"version": "2.0.0", "bin": {"ms": "ms.js"}},
    "node_modules/ms": {"bin": {"ms": "lib/ms.js"}},
    "node_modules/@scope/tool": {"bin": {"tool": "tool.js", "serve": "serve.js"}},
    "node_modules/serve-it": {"bin": {"both": "a.js"}},
    "node_modules/serve_it": {"bin": {"both": "b.js", "none": "here.js"}},
    "node_modules/whole": {"dependencies": {"part-of-it": "1"}, "bundleDependencies": ["part-of-it"]},
    "packages/part/node_modules/ms": {"version": "3.0.0", "bin": {"ms": "three.js"}},
}
"""What is in `node_modules`, by place: what a package.json says besides its name."""
PARTS: dict[str, dict[str, Any]] = {
    "packages/part": {"name": "part", "bin": {"part": "cli.js", "both": "both.js"}, "dependencies": {"ms": "3", "web": "1"}},
    "packages/scoped": {"name": "@shop/scoped", "bin": {"scoped": "bin/cli.js"}},
    "lib/plain": {"name": "plain"},
}
"""Directories of the project."""
NEEDS = {"web": "1", "ms": "1", "hub": "1", "whole": "1", "plain": "file:lib/plain"}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The directory of a registry, and its URL."""
    directory = tmp_path / "registry"
    directory.mkdir()
    with served(directory) as url:
        yield directory, url


def name_of(place: str) -> str:
    return place.rpartition("node_modules/")[2]


def programs(manifest: dict[str, Any]) -> dict[str, str]:
    files = {str(file): "#!/usr/bin/env node\n" for name, file in manifest.get("bin", {}).items() if name != "none"}
    return files | ({"here.js": "#!/usr/bin/env node\n"} if "none" in manifest.get("bin", {}) and "b.js" in files else {})


@pytest.fixture
def project(tmp_path: Path, registry: tuple[Path, str]) -> tuple[Path, dict[str, Path]]:
    """The project's directory, with its lock file; and the tarball of each place."""
    directory, url = registry
    source, tarballs = tmp_path / "project", dict[str, Path]()
    entries: dict[str, Any] = {"": {"name": "shop", "version": "1.0.0", "workspaces": ["packages/*"], "dependencies": NEEDS}}
    for place, said in PLACES.items():
        manifest = {"version": "1.0.0", **said}
        more = {"node_modules/part-of-it/package.json": json.dumps({"name": "part-of-it", "version": "1.0.0", "bin": "run.js"})}
        bundled = {**more, "node_modules/part-of-it/run.js": ""} if place == "node_modules/whole" else {}
        tarballs[place] = make_tarball(directory, name_of(place), {**programs(manifest), **bundled}, **manifest)
        locked = {"resolved": f"{url}/{tarballs[place].name}", "integrity": integrity(tarballs[place].read_bytes())}
        entries[place] = {**manifest, **locked}
    inner = "node_modules/whole/node_modules/part-of-it"
    entries[inner] = {"version": "1.0.0", "inBundle": True, "bin": {"part-of-it": "run.js"}}
    for place, part in PARTS.items():
        files = {**programs(part), "package.json": json.dumps({"version": "1.0.0", **part}), "index.js": "1\n"}
        for file, text in files.items():
            (source / place / file).parent.mkdir(parents=True, exist_ok=True)
            (source / place / file).write_text(text)
        entries[f"node_modules/{part['name']}"] = {"resolved": place, "link": True}
        entries[place] = {"version": "1.0.0", **part}
    (source / "package.json").write_text(json.dumps(entries[""]))
    document = {"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": entries}
    (source / "package-lock.json").write_text(json.dumps(document))
    return source, tarballs


def listed(tree: Path) -> dict[str, str]:
    """What is at each path: where a link leads, or whether a file is run and what it says."""
    found: dict[str, str] = {}
    for directory, names, files in os.walk(tree):
        for name in [*files, *(name for name in names if Path(directory, name).is_symlink())]:
            path = Path(directory, name)
            run = "program" if os.access(path, os.X_OK) else "file"
            found[str(path.relative_to(tree))] = f"-> {path.readlink()}" if path.is_symlink() else f"{run} {path.read_text()}"
    del found["package-lock.json"]
    return found


def test_it_is_what_npm_makes(project: tuple[Path, dict[str, Path]], registry: tuple[Path, str], tmp_path: Path):
    source, tarballs = project
    npms = shutil.copytree(source, tmp_path / "npms")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--registry", registry[1]]
    quiet = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "npm_config_cache": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=npms, env=quiet, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (npms / "node_modules/.package-lock.json").unlink()

    locked = select_packages(
        "shop",
        source / "package-lock.json",
        NodePlatform("x64"),
        omit=("dev",),
        without_scripts=(),
        source=source,
        registry="",
        place=None,
    )
    (source / "packages/part/node_modules/left-over").mkdir(parents=True)
    (source / "packages/part/node_modules/left-over/index.js").write_text("")
    files = [NpmTarball(one.path, tarballs[one.path]) for one in locked.tarballs]
    ours = NodeProject(files, locked.runnable, source, links=locked.links, linked_programs=locked.linked_programs)
    ours.make(tmp_path / "ours", limits=Limits())

    for file in locked.programs.values():  # we start them by name, also where npm has linked another of that name
        if (npms / file).exists():
            (npms / file).chmod(0o755)
    assert listed(tmp_path / "ours") == listed(npms)
    assert (tmp_path / "ours/node_modules/.bin/serve").readlink() == Path("../@scope/tool/serve.js")
    assert locked.programs["part"] == "packages/part/cli.js"
