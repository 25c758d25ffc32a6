"""Auricle: one toolkit for general-purpose audio encoders.

``auricle.load`` gives an encoder, ``auricle.tag`` and ``auricle.embed`` work on files. Names are imported when they are first
used: importing the package does nothing and costs little. What ``auricle`` refuses is an ``auricle.errors.AuricleError``.
"""

from __future__ import annotations

import sys

if "-m auricle" in " ".join(sys.orig_argv) or (sys.argv[0:1] and sys.argv[0].endswith(("/auricle", "\\auricle.exe"))):
    from auricle.core import interrupts  # this process is the command: Ctrl-C is quiet from the first import on

    interrupts.install()

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from auricle import errors as errors
from auricle import models as _models
from auricle.version import __version__

if TYPE_CHECKING:
    from auricle.commands.check import check
    from auricle.commands.export import export
    from auricle.commands.finetune.finetune import distill, finetune
    from auricle.commands.index import build_index
    from auricle.commands.search import search
    from auricle.commands.suggest import suggest
    from auricle.core.devices import set_threads
    from auricle.data.manifest.manifest import Manifest
    from auricle.hub.load import load
    from auricle.hub.published.table import list_models
    from auricle.index.database import SoundIndex
    from auricle.inference.embedder import Embedder, embed
    from auricle.inference.live.stream import Stream
    from auricle.inference.tagger import Tagger, tag

__all__ = [
    "Embedder",
    "Manifest",
    "SoundIndex",
    "Stream",
    "Tagger",
    "__version__",
    "build_index",
    "check",
    "distill",
    "embed",
    "export",
    "finetune",
    "list_models",
    "load",
    "search",
    "set_threads",
    "suggest",
    "tag",
]
_MODULES = {
    "Embedder": "auricle.inference.embedder",
    "Manifest": "auricle.data.manifest.manifest",
    "SoundIndex": "auricle.index.database",
    "Stream": "auricle.inference.live.stream",
    "Tagger": "auricle.inference.tagger",
    "build_index": "auricle.commands.index",
    "check": "auricle.commands.check",
    "distill": "auricle.commands.finetune.finetune",
    "embed": "auricle.inference.embedder",
    "export": "auricle.commands.export",
    "finetune": "auricle.commands.finetune.finetune",
    "list_models": "auricle.hub.published.table",
    "load": "auricle.hub.load",
    "search": "auricle.commands.search",
    "set_threads": "auricle.core.devices",
    "suggest": "auricle.commands.suggest",
    "tag": "auricle.inference.tagger",
}


class _CallableModels(ModuleType):
    """``auricle.models`` is a package; ``auricle.models()`` is the first edition's spelling of ``list_models()``."""

    def __call__(self, **filters: Any) -> Any:
        return importlib.import_module("auricle.hub.published.table").list_models(**filters)


_models.__class__ = _CallableModels


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'auricle' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)
