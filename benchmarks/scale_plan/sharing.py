"""A resource whose users share it evenly: the cores of a machine, the bandwidth of a storage, a network link."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count

import simpy

DONE = 1e-9  # of a job's work: less than this is rounding


class SharedRate:
    """A resource that advances all its present jobs at one rate, which depends on their number (processor sharing).

    Jobs finish in the order of the work that they have left. With a clock that runs at that rate ("virtual time"), a job that
    comes at V with work w finishes when the clock shows V + w, however many come and go meanwhile; so a change costs one
    operation on a heap.

    Args:
        env: the simulation.
        rate: work per second that each of n jobs gets, for n = 1, 2, …
        capacity: work per second of the whole resource when it is busy; only for ``utilisation``.
        servers: jobs that it works on at a moment, such as cores; only for ``busy``.

    Attributes:
        work_done: by all jobs, since ``count_from_now``.
        busy: seconds of all servers in which they worked, as a processor's clock counts them.
    """

    def __init__(self, env: simpy.Environment, rate: Callable[[int], float], capacity: float, servers: int = 1):
        self.env, self.rate, self.capacity = env, rate, capacity
        self.servers = servers
        self.work_done = self.busy = 0.0
        self._jobs: list[tuple[float, int, simpy.Event]] = []
        self._numbers = count()
        self._virtual = self._updated = self._since = 0.0
        self._alarm = math.inf  # when the next one rings

    def use(self, work: float) -> simpy.Event:
        """Return an event that happens when ``work`` is done."""
        finished = self.env.event()
        if work <= 0:
            return finished.succeed()
        self._advance()
        heapq.heappush(self._jobs, (self._virtual + work, next(self._numbers), finished))
        self._set_alarm()
        return finished

    def give_up(self, job: simpy.Event) -> float:
        """End a job that ``use`` returned before it is done, and return the work that is left of it."""
        self._advance()
        for place, (end, _, event) in enumerate(self._jobs):
            if event is job:
                del self._jobs[place]
                heapq.heapify(self._jobs)
                self._set_alarm()
                return max(0.0, end - self._virtual)
        return 0.0

    def count_from_now(self) -> None:
        """Leave what was done so far out of ``work_done`` and ``utilisation``."""
        self._advance()
        self.work_done = self.busy = 0.0
        self._since = self.env.now

    def utilisation(self) -> float:
        """Return the share of the capacity that was used, 0 to 1."""
        self._advance()
        passed = self.env.now - self._since
        return self.work_done / (self.capacity * passed) if passed else 0.0

    def _advance(self) -> None:
        """Bring the virtual clock to the present."""
        passed = self.env.now - self._updated
        if self._jobs and passed > 0:
            gained = passed * self.rate(len(self._jobs))
            self._virtual += gained
            self.work_done += gained * len(self._jobs)
            self.busy += passed * min(len(self._jobs), self.servers)
        self._updated = self.env.now

    def _set_alarm(self) -> None:
        """Ring when the job with the least work left would be done if no other came. An earlier alarm rings first, and looks."""
        if not self._jobs:
            return
        seconds = max(0.0, self._jobs[0][0] - self._virtual) / self.rate(len(self._jobs))
        if self.env.now + seconds < self._alarm:
            self._alarm = self.env.now + seconds
            self.env.timeout(seconds, self._alarm).callbacks.append(self._finish)  # type: ignore[union-attr]

    def _finish(self, ring: simpy.Event) -> None:
        if ring.value != self._alarm:
            return  # a later alarm was set for an earlier time
        self._alarm = math.inf
        self._advance()
        while self._jobs and self._is_done(self._jobs[0][0]):
            heapq.heappop(self._jobs)[2].succeed()
        self._set_alarm()

    def _is_done(self, end: float) -> bool:
        """Return True for a job without work left, and for one whose rest takes less time than the clock can show."""
        left = end - self._virtual
        return left <= DONE or self.env.now + left / self.rate(len(self._jobs)) <= self.env.now


def cores_of(env: simpy.Environment, cores: int, slowdown: float = 1.0) -> SharedRate:
    """Return the cores of a machine; work is seconds of one core on an otherwise idle machine.

    Args:
        slowdown: times that work takes longer when all cores are busy (they share memory, caches and power); with fewer busy
            cores the surplus falls linearly.
    """

    def rate(jobs: int) -> float:
        busy = min(jobs, cores)
        surplus = (slowdown - 1) * (busy - 1) / (cores - 1) if cores > 1 else 0.0
        return busy / jobs / (1 + surplus)

    return SharedRate(env, rate, cores / slowdown if cores > 1 else 1.0, cores)


def link_of(env: simpy.Environment, total: float, each: float) -> SharedRate:
    """Return a storage or link; work is bytes.

    Args:
        total: bytes per second of all users together.
        each: bytes per second of one user at most.
    """
    return SharedRate(env, lambda jobs: min(each, total / jobs), total)
