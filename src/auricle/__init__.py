"""Auricle: one toolkit for general-purpose audio encoders. Names load when they are first used; importing does nothing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from auricle import models as _models
from auricle.version import __version__

if TYPE_CHECKING:
    from auricle.core.threads import set_threads
    from auricle.hub.load import load
    from auricle.inference.embedder import Embedder, embed
    from auricle.inference.tagger import Tagger, tag

_FACE = {
    "Embedder": "auricle.inference.embedder",
    "Tagger": "auricle.inference.tagger",
    "load": "auricle.hub.load",
    "embed": "auricle.inference.embedder",
    "set_threads": "auricle.core.threads",
    "tag": "auricle.inference.tagger",
}
__all__ = ["Embedder", "Tagger", "__version__", "embed", "load", "models", "set_threads", "tag"]


class _CallableModels(ModuleType):
    """``auricle.models`` is a room of the house and, called, the table of published weights."""

    def __call__(self, **filters: Any) -> Any:
        return importlib.import_module("auricle.hub.published.table").table(**filters)


_models.__class__ = _CallableModels


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'auricle' has no attribute '{name}'")
    return getattr(importlib.import_module(_FACE[name]), name)
