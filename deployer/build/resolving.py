"""From the paths that a builtin builder is given to files: only what its inputs hold, wherever links in them lead."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.build.errors import AttributeRefused
from deployer.store import Store

_MAX_LINKS: Final = 40


@dataclass(frozen=True, slots=True)
class Resolver:
    """Our own builders run outside of any sandbox, so what they open is found here, without the kernel following links."""

    store: Store
    derivation: str
    inputs: Collection[str]
    """The closure that the builder may see; a set, for it is asked often."""

    def __call__(self, text: str) -> Path:
        """The file for a path of the store, or one below. Raises `AttributeRefused` where it leads out of the inputs."""
        for _ in range(_MAX_LINKS):
            step = self._follow(text)
            if isinstance(step, Path):
                return step
            text = step
        raise self._refused(text, "leads in a circle")

    def _follow(self, text: str) -> Path | str:
        """The file, or the path with its first link followed."""
        prefix = f"{self.store.store_dir}/"
        if not text.startswith(prefix):
            raise self._refused(text, "is not in the store")
        at = self.store.store_dir
        parts = text.removeprefix(prefix).split("/")
        for number, part in enumerate(parts):
            at = posixpath.normpath(posixpath.join(at, part))
            if posixpath.commonpath([at, self.store.store_dir]) != self.store.store_dir or at == self.store.store_dir:
                raise self._refused(text, "leads out of the store")
            if prefix + at.removeprefix(prefix).partition("/")[0] not in self.inputs:
                raise self._refused(text, "is not among the inputs")
            physical = self.store.physical(at)
            if physical.is_symlink():
                target = posixpath.join(posixpath.dirname(at), os.readlink(physical))
                return "/".join([target, *parts[number + 1 :]])
        return self.store.physical(at)

    def _refused(self, text: str, reason: str) -> AttributeRefused:
        return AttributeRefused(self.derivation, "environment", f"names {text}, which {reason}")
