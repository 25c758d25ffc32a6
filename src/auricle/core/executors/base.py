"""The Executor contract: a worker that holds a model, mapped over the parts of a job; results come in the order of the parts.

    executor.run(make, parts, lost, on_message)    # -> one result per part

A *part* is what is worked on and named together: a recording, a batch of clips. A *worker* is a function of a stream of parts that
yields one result per part, in order; it may read a few parts ahead, to decode them. ``make`` makes a worker, once in each
process, so that the process loads its model once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol, TypeVar

from auricle.core.devices import one_thread

T = TypeVar("T")
R = TypeVar("R")

Tell = Callable[[Any], None]  # takes a message about the present part, such as how much of it is done
Worker = Callable[[Iterable[T]], Iterator[R]]
MakeWorker = Callable[[Tell], Callable[[Iterable[T]], Iterator[R]]]
Lost = Callable[[T, str], R]  # the result of a part that cannot be worked on, and why


class Executor(Protocol):
    """Runs workers. All executors give equal results, in the order of the parts.

    Attributes:
        repeatable: workers compute on one thread, and are to compute the same bits whatever they computed before, so that
            results do not depend on which process worked on what.
    """

    repeatable: bool

    def run(
        self, make: MakeWorker[T, R], parts: Iterable[T], lost: Lost[T, R], on_message: Tell
    ) -> Generator[R, None, None]:
        """Yield one result per part, in order.

        Args:
            make: makes the worker in its process. Executors with other processes pickle it, the parts and the results.
            parts: what is worked on; taken as they are needed.
            lost: makes the result of a part whose worker died each time.
            on_message: called here with the messages that workers tell.

        An exception of a worker is raised here and stops the rest, and so does closing the iterator.
        """
        ...


def mapping(function: Callable[[T], R], tell: Tell) -> Worker[T, R]:
    """Return a worker that applies a function to each part: ``partial(mapping, function)`` makes such workers."""
    return partial(map, function)


class LocalExecutor:
    """Work in this process.

    Args:
        repeatable: on one thread; else on as many as this process uses.
    """

    def __init__(self, repeatable: bool = False):
        self.repeatable = repeatable

    def run(
        self, make: MakeWorker[T, R], parts: Iterable[T], lost: Lost[T, R], on_message: Tell
    ) -> Generator[R, None, None]:
        """Yield one result per part, in order; see ``Executor.run``."""
        with one_thread() if self.repeatable else nullcontext():
            yield from make(on_message)(parts)
