"""Other people's doors into the house. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

_FACE = {"PortableM2D": "auricle.compat.m2d.portable", "get_model": "auricle.compat.efficientat.get_model"}
__all__ = ["PortableM2D", "get_model"]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'auricle.compat' has no attribute '{name}'")
    return getattr(importlib.import_module(_FACE[name]), name)
