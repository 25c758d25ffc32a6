"""Items made in advance come in order, with their errors."""

import threading

import pytest

from auricle.core.parallel import prefetch


def test_prefetching_keeps_the_order_and_raises_where_the_item_would_come():
    def items():
        yield threading.current_thread().name
        yield 2
        raise ValueError("third")

    coming = prefetch(items())
    assert next(coming) != threading.current_thread().name
    assert next(coming) == 2
    with pytest.raises(ValueError, match="third"):
        next(coming)
    assert list(prefetch([])) == []
