"""Looking inside a network: the outputs of chosen modules, collected during one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def capturing(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """``with capturing({"b5": block}) as taps: network(x)`` leaves each module's output in ``taps``.

    Only calls of this thread are seen, so that a served encoder may be shared between threads.
    """
    taps: dict[str, Tensor] = {}
    owner = threading.get_ident()

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == owner:
                taps[name] = output

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()
