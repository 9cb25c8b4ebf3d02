"""Why one path depends on another: the shortest chain of references, or all chains."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Deque, Dict, List, Mapping, Optional, Tuple

from deployer.formats.storepath import StorePath
from deployer.store.closures import reached
from deployer.store.store import Store


@dataclass(frozen=True)
class Why:
    """The part of a closure that leads from `path` to `dependency`."""

    path: str
    dependency: str
    distances: Mapping[str, int]
    """How many references each path that leads to the dependency is away from it."""
    references: Mapping[str, Tuple[str, ...]]

    def steps(self, path: str) -> Tuple[str, ...]:
        """Where to go from `path` towards the dependency, the shortest way first."""
        itself = {path} if self.path != self.dependency else set()
        onward = [other for other in self.references[path] if other in self.distances and other not in itself]
        return tuple(sorted(onward, key=lambda other: (self.distances[other], other)))

    def shortest(self) -> Tuple[str, ...]:
        """One shortest chain, both ends among it."""
        chain = [self.path]
        while chain[-1] != self.dependency:
            chain.append(self.steps(chain[-1])[0])
        return tuple(chain)


def why_depends(store: Store, path: StorePath, dependency: StorePath) -> Optional[Why]:
    """Why `path` depends on `dependency`; None where it does not. Raises `PathNotValid`."""
    references = reached([str(path)], lambda one: store.query(one).references)
    if str(dependency) not in references:
        return None
    referrers: Dict[str, List[str]] = {one: [] for one in references}
    for referrer, others in references.items():
        for other in others:
            referrers[other].append(referrer)
    distances = {str(dependency): 0}
    todo: Deque[str] = deque(distances)
    while todo:
        one = todo.popleft()
        for referrer in referrers[one]:
            if referrer not in distances:
                distances[referrer] = distances[one] + 1
                todo.append(referrer)
    return Why(str(path), str(dependency), distances, references)
