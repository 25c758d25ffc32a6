"""Read the data sets that the originals expect in fixed folders, in their official layout."""

from __future__ import annotations

import sys
from pathlib import Path

from auricle.data.manifest.manifest import Manifest


def read_dataset(name: str, folder: Path) -> Manifest:
    """Read a data set, and print on standard error what is missing.

    Raises:
        AuricleError: the folder has another layout.
    """
    from auricle.data.published.base import read_published
    from auricle.data.published.table import published_dataset

    manifest = read_published(published_dataset(name), folder).manifest
    for note in manifest.notes:
        print(f"note: {note}", file=sys.stderr)
    return manifest
