"""Find the data sets that the originals expect in fixed folders, and read them in their official layout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest

VARIABLE = "AURICLE_DATASETS"  # folder that holds the data sets by name
DEFAULT = "data"


def dataset_folder(dataset_name: str, folder: str | None, option: str, *, name: str = "") -> Path:
    """Return the folder of a data set.

    Args:
        dataset_name: as in ``auricle prepare --help``.
        folder: as the line names it; None: ``name`` in the folder of ``AURICLE_DATASETS``, else in ``data``.
        option: option of the line that names it, for messages.
        name: of the folder; "": the name of the data set.

    Raises:
        AuricleError: it is not there; the message says how to name another and where the data come from.
    """
    from auricle.data.published.table import published_dataset

    name = name or dataset_name
    path = Path(folder) if folder is not None else Path(os.environ.get(VARIABLE) or DEFAULT) / name
    if path.is_dir():
        return path
    dataset = published_dataset(dataset_name)
    raise AuricleError(
        f"{dataset.title} is not in {path}: name its folder by {option} FOLDER, or the folder that holds it as '{name}' by the "
        f"variable {VARIABLE}. It is published at {dataset.url}; expected there: {dataset.layout}"
    )


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
