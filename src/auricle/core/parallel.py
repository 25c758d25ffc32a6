"""A function over many items, in this process or in a pool of spawned ones with one thread each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from auricle.core.errors import AuricleError
from auricle.core.threads import available_cores

T = TypeVar("T")
R = TypeVar("R")


SMALL = 64  # this many items are done before a pool of processes has started


def workers_for(items: int, wanted: int) -> int:
    """Processes for so many items: ``wanted``, one per core for 0, and none but this one for a few items."""
    return 1 if items <= SMALL else wanted or available_cores()


def mapped(function: Callable[[T], R], items: Sequence[T], workers: int, *, chunk: int = 8) -> Iterator[R]:
    """``function(item)`` for each item, in order. ``workers`` of 1 stays in this process.

    With more, ``function`` must be picklable. An exception stops the rest and is raised here; closing the iterator
    stops the rest too. Workers end by themselves when this process is killed. Raises AuricleError when a worker dies.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
            try:
                with _held_back(signal.SIGINT):
                    results = pool.map(function, items, chunksize=chunk)
                yield from results
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise AuricleError(
            "a worker process died; what is finished is kept: run again, with fewer workers if memory ran out. In a script "
            "of your own, call this under if __name__ == '__main__':"
        ) from None


@contextmanager
def _held_back(number: int) -> Iterator[None]:
    """A signal waits while processes are started, and never reaches them: they inherit that they do not hear it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """In each worker: one thread, Ctrl-C left to the parent, and no life after the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# Work ahead: the next item is made in a thread while the caller is busy with the one before.

END: Any = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in order, one of them ready in advance. An exception of theirs is raised where its item would come."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, END)
        while (item := coming.result()) is not END:
            coming = pool.submit(next, iterator, END)
            yield item
