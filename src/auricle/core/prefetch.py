"""Make the next item in a thread while the caller works on the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

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
