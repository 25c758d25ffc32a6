"""Interfaces of other projects: EfficientAT, M2D, MAE-AST, HEAR, mteb and scikit-learn. Names are imported at first use."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {"PortableM2D": "auricle.compat.m2d.portable", "get_model": "auricle.compat.efficientat.get_model"}
__all__ = ["PortableM2D", "get_model"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'auricle.compat' has no attribute '{name}'")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
