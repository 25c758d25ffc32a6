"""Ray Data on a cluster: parts are rows of a data set, and a pool of actors, each on one thread, maps a worker over its batches.

Ray Data starts another actor where one dies, and gives it the batch that the dead one held; the rows come back in order. What it
does not know is which part kills its workers. A small actor, the *watch*, therefore counts how often a batch was begun: one that
was begun before is worked on part by part, and a part that was begun ``TRIES`` times is given up and named.

Of what is done only results travel. Recordings are read where the actor is, so that all machines need the same files under the same
names. Ray Data plans the whole data set before it begins: unlike the other executors, this one takes all parts at once.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from auricle.core.devices import POLICY
from auricle.core.errors import AuricleError
from auricle.core.executors.base import Lost, MakeWorker, R, T, Tell
from auricle.core.executors.pool import TRIES, portable_error

USUAL_BATCH, MOST_BATCHES = 8, 4096  # parts of a batch, and batches: each costs the driver a millisecond
EARLY_DEATHS = 3  # per actor, of processes that cannot make a worker
STORE_BYTES = 512 << 20  # of the object store of a cluster that is started here; only parts and results are in it
NUMBER, PART, RESULT = "number", "part", "result"  # columns


class RayExecutor:
    """Work in actors of a Ray cluster: that of ``RAY_ADDRESS``, or one that is started on this machine.

    Args:
        processes: number of actors; each takes one core of the cluster.

    Raises:
        AuricleError: where Ray Data is not installed.
    """

    repeatable = True

    def __init__(self, processes: int):
        if any(importlib.util.find_spec(name) is None for name in ("ray", "pandas", "pyarrow")):
            raise AuricleError("--executor ray needs Ray Data: pip install 'auricle[ray]'; or choose --executor pool")
        self.processes = processes

    def run(
        self, make: MakeWorker[T, R], parts: Iterable[T], lost: Lost[T, R], on_message: Tell
    ) -> Generator[R, None, None]:
        """Yield one result per part, in order; see ``Executor.run``. Messages come with the results of their batch.

        Raises:
            AuricleError: when no cluster can be reached, or workers cannot be made.
        """
        import ray

        all_parts = list(parts)
        if not all_parts:
            return
        ours = not ray.is_initialized()
        if ours:
            _join_cluster(self.processes)
        watch = ray.remote(num_cpus=0)(_Watch).remote(EARLY_DEATHS * self.processes)
        try:
            for kind, content in self._answers(make, all_parts, watch):
                if kind == "message":
                    on_message(content)
                elif kind == "error":
                    raise content
                elif kind == "lost":
                    number, reason = content
                    yield lost(all_parts[number], reason)
                else:
                    yield content
        finally:
            with suppress(Exception):  # the cluster may be gone
                ray.kill(watch)
            if ours:
                ray.shutdown()

    def _answers(self, make: MakeWorker[Any, Any], parts: list[Any], watch: Any) -> Iterator[tuple[str, Any]]:
        """Yield what the actors answer: (kind, content), in the order of the parts."""
        import ray

        rows = [{NUMBER: number, PART: pickle.dumps(part)} for number, part in enumerate(parts)]
        batch = max(1, min(USUAL_BATCH, len(rows) // (4 * self.processes)), -(-len(rows) // MOST_BATCHES))
        batches = -(-len(rows) // batch)
        with _quiet_context():
            answers = ray.data.from_items(rows, override_num_blocks=batches).map_batches(
                _BatchWorker,
                fn_constructor_args=(ray.cloudpickle.dumps(make), watch, os.getcwd(), sys.path),
                batch_size=None,  # a batch is a block
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=min(self.processes, batches)),
                num_cpus=1,
            )
            try:
                for table in answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    for content in table[RESULT].to_pylist():
                        yield from pickle.loads(content)
            except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as error:
                reason = " ".join(str(error).split())[:300]
                raise AuricleError(f"Ray ended the work ({reason}); finished items are saved: run again") from None


def _join_cluster(processes: int) -> None:
    """Connect to the cluster of the environment, or start one on this machine that serves nothing and reports nothing."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # deaths of actors are told by the results
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        options |= {"num_cpus": processes, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise AuricleError(f"no Ray cluster can be reached or started ({reason}); --executor pool needs none") from None


@contextmanager
def _quiet_context() -> Iterator[None]:
    """Let the data sets that are made inside keep the order of their rows and print nothing; other data sets stay as they are."""
    import ray.data

    logger = logging.getLogger("ray.data")
    context, level = ray.data.DataContext.get_current().copy(), logger.level
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    logger.setLevel(logging.ERROR)
    try:
        with ray.data.DataContext.current(context):
            yield
    finally:
        logger.setLevel(level)


class _Watch:
    """Counts what was begun and not ended: its workers died.

    Args:
        makings: of workers in a row, from which on none can be made.
    """

    def __init__(self, makings: int):
        self.makings, self.made = makings, 0
        self.begun: Counter[tuple[str, int]] = Counter()

    def begin_making(self) -> bool:
        """Return False if processes end while they make a worker."""
        self.made += 1
        return self.made <= self.makings

    def end_making(self) -> None:
        self.made = 0

    def begin(self, what: str, number: int) -> int:
        """Return how often this was begun before and not ended."""
        self.begun[what, number] += 1
        return self.begun[what, number] - 1

    def end(self, what: str, number: int) -> None:
        del self.begun[what, number]


class _BatchWorker:
    """Maps a worker over batches of parts, in an actor.

    Args:
        make: makes the worker, pickled; when the first batch comes: Ray would start an actor that dies before without end.
        watch: a ``_Watch``.
        folder: the caller's, which relative names are below.
        path: where the caller finds its modules.
    """

    def __init__(self, make: bytes, watch: Any, folder: str, path: list[str]):
        with suppress(OSError):
            os.chdir(folder)
        sys.path += [place for place in path if place not in sys.path]
        POLICY.fix(1)
        self.make, self.watch = make, watch
        self.worker: Any = None
        self.answers: list[tuple[str, Any]] = []

    def __call__(self, batch: Any) -> Any:
        """Return a table with one row: the answers to the parts of a batch, pickled."""
        import pyarrow

        numbers, parts = batch[NUMBER].to_pylist(), [pickle.loads(part) for part in batch[PART].to_pylist()]
        self.answers = []
        try:
            self._work(numbers, parts)
        except Exception as error:
            self.answers.append(("error", portable_error(error)))
        content = pyarrow.array([pickle.dumps(self.answers)], pyarrow.large_binary())
        return pyarrow.table({RESULT: content})

    def _work(self, numbers: list[int], parts: list[Any]) -> None:
        if self.worker is None:
            self._make_worker()
        if not self._ask("begin", "batch", numbers[0]):
            self.answers += [("result", result) for result in self.worker(iter(parts))]
        else:
            for number, part in zip(numbers, parts):
                self._work_alone(number, part)
        self._ask("end", "batch", numbers[0])

    def _work_alone(self, number: int, part: Any) -> None:
        """Work on a part of a batch with which an actor died."""
        if self._ask("begin", "part", number) + 1 >= TRIES:  # once it died with its batch
            self.answers.append(("lost", (number, f"the actor died each of {TRIES} times")))
        else:
            self.answers += [("result", result) for result in self.worker(iter([part]))]
        self._ask("end", "part", number)

    def _make_worker(self) -> None:
        if not self._ask("begin_making"):
            raise AuricleError(
                "the actors of Ray end as they make their workers: use fewer --processes if memory ran out, or --executor local"
            )
        self.worker = pickle.loads(self.make)(lambda message: self.answers.append(("message", message)))
        self._ask("end_making")

    def _ask(self, method: str, *values: Any) -> Any:
        import ray

        return ray.get(getattr(self.watch, method).remote(*values))
