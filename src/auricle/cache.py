"""Where downloads and embeddings are kept between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SET_ANOTHER = "set AURICLE_CACHE to another"


def cache_dir() -> Path:
    """AURICLE_CACHE if it is set, else the platform's folder for caches. The folder need not exist yet."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else _platform_folder() / "auricle"


def _platform_folder() -> Path:
    """XDG_CACHE_HOME or ~/.cache; ~/Library/Caches on macOS; LOCALAPPDATA on Windows."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
