"""Outlines of the systems of a whole fleet: from the cache, evaluated here, or by several processes where there is much to do."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from deployer.config.host_view import HostView
from deployer.errors import DeployerError, raise_all
from deployer.generation.evaluation_cache import Evaluated, EvaluationCache, Inputs, changed_since
from deployer.generation.making import Leant, SystemMaker
from deployer.generation.outline import Outline
from deployer.generation.runtime import runtime
from deployer.packages import PackageSet

WORTH_PROCESSES: Final = 1.0
"""Seconds of evaluation that are left, at the speed so far, from which on other processes are started."""
FIRST: Final = 0.25
"""Seconds of evaluation before the speed is known."""
MAX_PROCESSES: Final = 8
SHARE: Final = 100
"""Hosts that a process is given at a time."""
REMEMBERED: Final = 16
"""Systems of one configuration that such a process keeps for other hosts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host, and which configuration it is to have."""

    host: HostView
    configuration: Path


@dataclass(slots=True)
class _Made:
    """What was evaluated, by configuration."""

    evaluated: dict[Path, list[Evaluated]] = field(default_factory=dict)
    leant: dict[Path, Leant] = field(default_factory=dict)

    def add(self, configuration: Path, evaluated: Iterable[Evaluated], leant: Leant) -> None:
        self.evaluated.setdefault(configuration, []).extend(evaluated)
        self.leant.setdefault(configuration, Leant()).add(leant)

    def outlines(self) -> dict[str, Outline]:
        return {one.host.name: one.outline for made in self.evaluated.values() for one in made}


class FleetEvaluation:
    """Evaluates hosts for those who need no derivations."""

    def __init__(self, maker: SystemMaker, packages: Path | None, cache: EvaluationCache | None) -> None:
        """`packages` is the file of the maker's packages."""
        self._maker, self._packages, self._cache = maker, packages, cache
        self._began = time.time()

    def outlines(self, wanted: Sequence[Wanted]) -> dict[str, Outline]:
        """The outlines of hosts, by name, in their order. Raises all that is wrong with any of them, together."""
        known = self._known(wanted)
        made, errors = self._evaluate([one for one in wanted if one.host.name not in known])
        self._keep(made)
        raise_all(errors)
        found = known | made.outlines()
        return {one.host.name: found[one.host.name] for one in wanted}

    def _evaluate(self, wanted: Sequence[Wanted]) -> tuple[_Made, list[DeployerError]]:
        made, errors, left = _Made(), list[DeployerError](), deque(wanted)
        alone, began = _processors() == 1, time.monotonic()
        while left:
            done = len(wanted) - len(left)
            if done == 1:
                began = time.monotonic()  # the first host waits for what is loaded once
            spent = time.monotonic() - began
            if done > 1 and not alone and spent > FIRST and spent / (done - 1) * len(left) > WORTH_PROCESSES:
                alone = True
                self._evaluate_elsewhere(left, made)
                there = made.outlines()
                left = deque(one for one in left if one.host.name not in there)  # what is wrong with them is told here
                continue
            one = left.popleft()
            try:
                made.add(one.configuration, [_evaluated(self._maker, one)], self._maker.leant(one.configuration))
            except DeployerError as error:
                errors.append(error)
        return made, errors

    def _evaluate_elsewhere(self, wanted: Iterable[Wanted], made: _Made) -> None:
        """Have other processes evaluate hosts, those of one configuration together. Some may be missing afterwards."""
        from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
        from multiprocessing import get_context

        shares = [_Share(self._packages, self._maker.runtime.path.store_dir, hosts) for hosts in _shares(wanted)]
        processes = min(_processors(), MAX_PROCESSES, len(shares))
        try:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                for share, (evaluated, leant) in zip(shares, pool.map(_evaluate_share, shares), strict=True):
                    made.add(share.hosts[0].configuration, evaluated, leant)
        except (BrokenExecutor, OSError):
            return

    def _known(self, wanted: Sequence[Wanted]) -> dict[str, Outline]:
        known: dict[str, Outline] = {}
        if self._cache is not None:
            for hosts in _by_configuration(wanted):
                views = [one.host for one in hosts]
                known |= self._cache.find(hosts[0].configuration, views, self._maker.packages)
        return known

    def _keep(self, made: _Made) -> None:
        if self._cache is None:
            return
        for configuration, evaluated in made.evaluated.items():
            leant = made.leant[configuration]
            if leant.inputs.pure and not changed_since(leant.inputs.paths, self._began):
                self._cache.keep(configuration, Inputs.now(leant, self._maker.packages), evaluated)


@dataclass(frozen=True, slots=True)
class _Share:
    """What one process is to do: hosts of one configuration."""

    packages: Path | None
    store_dir: str
    hosts: tuple[Wanted, ...]


def _evaluate_share(share: _Share) -> tuple[list[Evaluated], Leant]:
    """In another process: what hosts come to, without those with which something is wrong."""
    maker = _maker(share.packages, share.store_dir)
    evaluated: list[Evaluated] = []
    for one in share.hosts:
        try:
            evaluated.append(_evaluated(maker, one))
        except DeployerError:
            continue
    return evaluated, maker.leant(share.hosts[0].configuration)


@lru_cache(maxsize=1)
def _maker(packages: Path | None, store_dir: str) -> SystemMaker:
    return SystemMaker(PackageSet.load(packages, store_dir=store_dir), runtime(store_dir), remembered=REMEMBERED)


def _evaluated(maker: SystemMaker, one: Wanted) -> Evaluated:
    known = maker.make(one.host, one.configuration)
    return Evaluated(one.host, tuple(sorted(known.facts)), Outline.of(known.made))


def _by_configuration(wanted: Iterable[Wanted]) -> Iterable[list[Wanted]]:
    by_configuration: dict[Path, list[Wanted]] = {}
    for one in wanted:
        by_configuration.setdefault(one.configuration, []).append(one)
    return by_configuration.values()


def _shares(wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, ...]]:
    for hosts in _by_configuration(wanted):
        yield from (tuple(hosts[at : at + SHARE]) for at in range(0, len(hosts), SHARE))


def _processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))
