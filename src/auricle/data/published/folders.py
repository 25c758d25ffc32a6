"""Where the folders of published data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.data.published.table import published_dataset

VARIABLE = "AURICLE_DATASETS"  # folder that holds the data sets by name
DEFAULT = "data"


def dataset_folder(dataset_name: str, folder: str | None, option: str, *, name: str = "") -> Path:
    """Return the folder of a data set.

    Args:
        dataset_name: As in ``auricle prepare --help``.
        folder: The folder that was named; None: ``name`` in the folder of ``AURICLE_DATASETS``, else in ``data``.
        option: Option that names it, for messages.
        name: Of the folder; "": the name of the data set.

    Raises:
        AuricleError: It is not there; the message says how to name another and where the data come from.
    """
    name = name or dataset_name
    path = Path(folder) if folder is not None else datasets_root() / name
    if path.is_dir():
        return path
    raise AuricleError(
        f"{dataset_title(dataset_name)} is not in {path}: name its folder by {option} FOLDER, or the folder that holds it as "
        f"'{name}' by the variable {VARIABLE}. {where_from(dataset_name)}"
    )


def datasets_root() -> Path:
    """Return the folder that holds the data sets by name."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def dataset_title(dataset_name: str) -> str:
    """Return the name of a data set in print."""
    return published_dataset(dataset_name).title


def where_from(dataset_name: str) -> str:
    """Return sentences about where a data set is published and what its folder must hold."""
    dataset = published_dataset(dataset_name)
    return f"It is published at {dataset.url}; expected there: {dataset.layout}"
