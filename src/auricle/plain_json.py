"""JSON that every parser reads: a number that is none (NaN, infinite) becomes null."""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(value: Any, **layout: Any) -> str:
    """``json.dumps`` without the words NaN and Infinity, which JSON does not have."""
    return json.dumps(_finite(value), allow_nan=False, **layout)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
