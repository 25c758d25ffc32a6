"""Actors of a Ray cluster, each on one thread: an actor that dies is replaced, and what it held is done again, part by part.

Parts travel in bundles, because a call costs milliseconds. Of what is done only results come back; recordings are read where the
actor is, so that all machines need the same files under the same names.
"""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from auricle.core.devices import POLICY
from auricle.core.errors import AuricleError
from auricle.core.executors.base import Lost, MakeWorker, R, T, Tell
from auricle.core.executors.pool import TRIES

BUNDLE = 8  # parts of a call
CALLS = 2  # of an actor at a time: it begins the second while the results of the first travel
AHEAD_BUNDLES = 8  # per actor, that may be done before their turn
STORE_BYTES = 512 << 20  # of the object store of a cluster that is started here; only parts and results are in it


class RayExecutor:
    """Work in actors of a Ray cluster: that of ``RAY_ADDRESS``, or one that is started on this machine.

    Args:
        processes: number of actors; each takes one core of the cluster.

    Raises:
        AuricleError: where Ray is not installed.
    """

    repeatable = True

    def __init__(self, processes: int):
        if importlib.util.find_spec("ray") is None:
            raise AuricleError("--executor ray needs Ray: pip install 'auricle[ray]'; or choose --executor pool")
        self.processes = processes

    def run(
        self, make: MakeWorker[T, R], parts: Iterable[T], lost: Lost[T, R], on_message: Tell
    ) -> Generator[R, None, None]:
        """Yield one result per part, in order; see ``Executor.run``.

        Raises:
            AuricleError: when no cluster can be reached, or actors cannot be started.
        """
        import ray

        ours = not ray.is_initialized()
        if ours:
            _join_cluster(self.processes)
        run = _RayRun(make, parts, lost, on_message)
        try:
            for _ in range(self.processes):
                run.start_actor()
            yield from run.results()
        finally:
            run.stop()
            if ours:
                ray.shutdown()


def _join_cluster(processes: int) -> None:
    """Connect to the cluster of the environment, or start one on this machine that serves nothing and reports nothing."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        options |= {"num_cpus": processes, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise AuricleError(f"no Ray cluster can be reached or started ({reason}); --executor pool needs none") from None


@dataclass
class _Bundle:
    """Parts that travel together, with their places in the order, and how many actors died with them."""

    first: int
    parts: list[Any]
    deaths: int = 0


class _RayRun:
    """One run on a cluster: the calls that are under way, and what is done again."""

    def __init__(self, make: MakeWorker[Any, Any], parts: Iterable[Any], lost: Lost[Any, Any], on_message: Tell):
        self.make, self.lost, self.on_message = make, lost, on_message
        self.parts = iter(parts)
        self.calls: dict[Any, tuple[Any, _Bundle]] = {}  # by reference of the result: the actor, and what it was given
        self.actors: list[Any] = []
        self.again: deque[_Bundle] = deque()
        self.done: dict[int, Any] = {}
        self.turn = self.given = self.early_deaths = 0

    def start_actor(self) -> None:
        import ray

        actor = ray.remote(num_cpus=1, max_restarts=0)(_Actor)
        self.actors.append(actor.remote(self.make, os.getcwd()))

    def stop(self) -> None:
        import ray

        for actor in self.actors:
            with suppress(Exception):  # the cluster may be gone
                ray.kill(actor)

    def results(self) -> Iterator[Any]:
        import ray

        while True:
            while self.turn in self.done:
                yield self.done.pop(self.turn)
                self.turn += 1
            for actor in self.actors:
                self._give(actor)
            if not self.calls:
                return
            ready, _ = ray.wait(list(self.calls), num_returns=1)
            self._take(ready[0])

    def _give(self, actor: Any) -> None:
        """Give an actor bundles until it has enough; one that is done again comes alone."""
        held = [bundle for other, bundle in self.calls.values() if other is actor]
        while len(held) < CALLS and not any(bundle.deaths for bundle in held):
            if self.again:
                if held:
                    return
                bundle = self.again.popleft()
            elif self.given - self.turn < AHEAD_BUNDLES * BUNDLE * len(self.actors):
                bundle = _Bundle(self.given, list(islice(self.parts, BUNDLE)))
                self.given += len(bundle.parts)
                if not bundle.parts:
                    return
            else:
                return
            held.append(bundle)
            self.calls[actor.work.remote(bundle.parts)] = actor, bundle

    def _take(self, call: Any) -> None:
        import ray

        actor, bundle = self.calls.pop(call)
        try:
            results, told = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except ray.exceptions.RayError as error:
            self._bury(actor, bundle, " ".join(str(error).split())[:200])
            return
        self.early_deaths = 0
        for message in told:
            self.on_message(message)
        self.done |= zip(range(bundle.first, bundle.first + len(bundle.parts)), results, strict=True)

    def _bury(self, actor: Any, bundle: _Bundle, reason: str) -> None:
        """Do what a dead actor held again, part by part, and start another one."""
        for number, part in enumerate(bundle.parts, bundle.first):
            if bundle.deaths + 1 < TRIES:
                self.again.append(_Bundle(number, [part], bundle.deaths + 1))
            else:
                self.done[number] = self.lost(part, f"the actor died each of {TRIES} times ({reason})")
        if actor in self.actors:
            self.actors.remove(actor)
            self.early_deaths += 1
            if self.early_deaths >= TRIES * max(1, len(self.actors) + 1):
                raise AuricleError(f"the actors of Ray end before they give a result ({reason})")
            self.start_actor()


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, make: MakeWorker[Any, Any], folder: str):
        with suppress(OSError):  # relative names mean the caller's
            os.chdir(folder)
        POLICY.fix(1)
        self.told: list[Any] = []
        self.worker = make(self.told.append)

    def work(self, parts: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return the results of the parts, and what the worker told meanwhile."""
        self.told.clear()
        results = list(self.worker(iter(parts)))
        return results, list(self.told)
