"""The plain implementations of benchmarks/plain, which trajectories are compared with."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from helpers.paths import ROOT


def plain(name: str) -> ModuleType:
    """The module ``benchmarks.plain.<name>``, however pytest was started."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"benchmarks.plain.{name}")
