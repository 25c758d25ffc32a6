"""Work beside each other: a pool of spawned processes with one thread each, and a thread that makes the next item."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from auricle.core.devices import POLICY, available_cores
from auricle.core.errors import AuricleError

T = TypeVar("T")
R = TypeVar("R")

FEW_ITEMS = 64  # these are done before the processes of a pool have started


def num_processes(items: int, wanted: int | None = None) -> int:
    """Return how many processes to use: ``wanted`` (None or 0: one per core), but only this one for a few items."""
    return 1 if items <= FEW_ITEMS else wanted or available_cores()


def parallel_map(function: Callable[[T], R], items: Sequence[T], processes: int, *, chunk: int = 8) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in order.

    Args:
        function: must be picklable if ``processes`` is above 1.
        items: what it is applied to.
        processes: 0 or 1: this process.
        chunk: items sent to a process at a time.

    An exception in ``function`` is raised here and stops the rest, and so does closing the iterator. The processes end
    by themselves when this process is killed.

    Raises:
        AuricleError: when a process dies.
    """
    if processes <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=start_worker) as pool:
            try:
                with blocked(signal.SIGINT):
                    results = pool.map(function, items, chunksize=chunk)
                yield from results
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise AuricleError(
            "a worker process died; finished items are saved: run again, with fewer workers if memory ran out. In a script "
            "of your own, call this under if __name__ == '__main__':"
        ) from None


@contextmanager
def blocked(number: int) -> Iterator[None]:
    """Block a signal while processes are started. They inherit the block, so only this process receives the signal."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """In each process: one thread, Ctrl-C ignored, and an end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    POLICY.fix(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# ---- Make the next item in a thread while the caller works on the one before it


END: Any = object()


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items in order, one of them made in advance.

    An exception of ``items`` is raised where its item would come.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, END)
        while (item := coming.result()) is not END:
            coming = pool.submit(next, iterator, END)
            yield item
