"""Which of a graph of jobs may start now: pure decisions, no clock and no processes.

Jobs with the longest chain of dependents go first, so that the critical path never waits for a leaf. Each job takes a slot of
one of its kinds, the first that has one free: downloads wait for the network and builds for the processors of one machine or
another, so no kind must starve another.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job", bound=Hashable)


class Scheduler(Generic[Job]):
    """Holds the state of one run: what waits, what may start, what runs, what ended."""

    def __init__(
        self,
        dependencies: Mapping[Job, Iterable[Job]],
        *,
        slots: Mapping[str, int],
        kinds_of: Callable[[Job], Sequence[str]],
        keep_going: bool = False,
        order: Callable[[Job], str] = str,
    ) -> None:
        """Dependencies that are not jobs themselves count as done. Equal priorities go by `order`.

        `kinds_of`: the kinds of slots that a job may take, the best first.
        """
        self._waits_for: dict[Job, set[Job]] = {
            job: {other for other in needed if other in dependencies} for job, needed in dependencies.items()
        }
        self._dependents: dict[Job, list[Job]] = defaultdict(list)
        for job, needed in self._waits_for.items():
            for other in needed:
                self._dependents[other].append(job)
        self._free = dict(slots)
        self._kinds_of = kinds_of
        self._keep_going = keep_going
        self._order = order
        self._height = self._heights()
        self._ready: dict[tuple[str, ...], list[tuple[int, str, Job]]] = defaultdict(list)
        self._running: dict[Job, str] = {}
        self._released: set[Job] = set()
        self._left = set(self._waits_for)
        self._stopped = False
        for job, needed in self._waits_for.items():
            if not needed:
                self._make_ready(job)

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing more will start."""
        return not self._running and (self._stopped or not self._left)

    def start(self) -> list[Job]:
        """The jobs to start now; their slots are taken."""
        started: list[Job] = []
        while not self._stopped:
            waiting = [(queue[0], kinds) for kinds, queue in self._ready.items() if queue and self._free_of(kinds)]
            if not waiting:
                break
            (_, _, job), kinds = min(waiting, key=lambda item: item[0][:2])
            heapq.heappop(self._ready[kinds])
            self._running[job] = kind = self._free_of(kinds)
            self._free[kind] -= 1
            started.append(job)
        return started

    def taken(self, job: Job) -> str:
        """The kind of the slot that a running job has."""
        return self._running[job]

    def released(self, job: Job) -> None:
        """A job that has not ended yet needs its slot no more: its dependents still wait, but others may start."""
        if job in self._running and job not in self._released:
            self._released.add(job)
            self._free[self._running[job]] += 1

    def is_awaited(self, job: Job) -> bool:
        """Whether some job could start if this one ended, and those besides that need their slots no more."""
        ending = {job, *self._released}
        return any(dependent in self._left and self._waits_for[dependent] <= ending for dependent in self._dependents[job])

    def succeeded(self, job: Job) -> None:
        """A job ended well: its dependents may become ready."""
        self._end(job)
        for dependent in self._dependents[job]:
            waits_for = self._waits_for[dependent]
            waits_for.discard(job)
            if not waits_for and dependent in self._left:
                self._make_ready(dependent)

    def failed(self, job: Job) -> list[Job]:
        """A job ended badly. Returns those that will therefore never start; without `keep_going`, nothing new starts at all."""
        self._end(job)
        lost: list[Job] = []
        todo = list(self._dependents[job])
        while todo:
            dependent = todo.pop()
            if dependent in self._left:
                self._left.discard(dependent)
                lost.append(dependent)
                todo.extend(self._dependents[dependent])
        self._stopped = self._stopped or not self._keep_going
        return sorted(lost, key=self._order)

    def _end(self, job: Job) -> None:
        self.released(job)
        self._released.discard(job)
        del self._running[job]
        self._left.discard(job)

    def _make_ready(self, job: Job) -> None:
        heapq.heappush(self._ready[tuple(self._kinds_of(job))], (-self._height[job], self._order(job), job))

    def _free_of(self, kinds: Sequence[str]) -> str:
        """The first kind with a free slot; empty where there is none."""
        return next((kind for kind in kinds if self._free.get(kind, 0) > 0), "")

    def _heights(self) -> dict[Job, int]:
        """Longest chain of dependents above each job; also proves that there is no cycle."""
        waiting = {job: len(self._dependents[job]) for job in self._waits_for}
        heights = dict.fromkeys(self._waits_for, 0)
        todo = [job for job, count in waiting.items() if count == 0]
        seen = 0
        while todo:
            job = todo.pop()
            seen += 1
            for needed in self._waits_for[job]:
                heights[needed] = max(heights[needed], heights[job] + 1)
                waiting[needed] -= 1
                if waiting[needed] == 0:
                    todo.append(needed)
        if seen != len(self._waits_for):
            raise ValueError("the graph of jobs has a cycle")
        return heights
