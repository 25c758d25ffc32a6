"""mteb as a library: its tasks, their data and sizes, its result files. Imported here where it is used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, MissingExtra, first_line
from auricle.core.io import writable_cache
from auricle.core.named import import_named
from auricle.evaluation.suites.contract import MissingData
from auricle.hub.download import is_offline

RESULT_FILES = "mteb"  # folder of mteb's own result files, in the cache folder; MTEB_CACHE names another
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")  # read when the libraries are imported


def mteb_version() -> str:
    """Return the version of mteb; "" where it is not installed."""
    try:
        return metadata.version("mteb")
    except metadata.PackageNotFoundError:
        return ""


def import_mteb() -> Any:
    """Return the module mteb; it downloads nothing where AURICLE_OFFLINE is set. Raises MissingExtra where it is not installed."""
    if is_offline():
        for name in OFFLINE:
            os.environ.setdefault(name, "1")
    try:
        import mteb
    except ImportError:
        raise MissingExtra("MAEB", "mteb") from None
    return mteb


def result_folder() -> Path:
    """Return the folder of mteb's result files: MTEB_CACHE, else ``mteb`` in the cache folder."""
    chosen = os.environ.get("MTEB_CACHE")
    return Path(chosen).expanduser() if chosen else writable_cache()[0] / RESULT_FILES


def open_task(name: str, subsets: Sequence[str] = ()) -> Any:
    """Return a new task object of mteb, without data.

    Args:
        name: mteb's name, or MODULE:NAME of a class of one's own.
        subsets: Parts of the data set; () for all.

    Raises:
        AuricleError: There is none.
    """
    mteb, parts = import_mteb(), list(subsets) or None
    try:
        if ":" not in name:
            return mteb.get_task(name, hf_subsets=parts)
        made = import_named(name, "task of mteb", "my_tasks:Mine")
        task = made() if isinstance(made, type) else made
        return task.filter_languages(None, hf_subsets=parts) if parts else task
    except (KeyError, ValueError) as error:
        raise AuricleError(f"mteb {mteb_version()} has no such task: {error.args[0] if error.args else name}") from None


def load_data(task: Any) -> None:
    """Load the data of a task, downloading what is not there. Raises MissingData where that is not possible."""
    source = task.metadata.dataset.get("path", "its data set")
    try:
        task.load_data()
    except AuricleError:
        raise
    except Exception as error:  # of the library datasets, its network client, or the task's own code
        why = "AURICLE_OFFLINE is set, and they are not in the cache" if is_offline() else first_line(error)[:200]
        raise MissingData(
            f"mteb could not load the data of {task.metadata.name} ({source}): {why}. It downloads them from the Hugging "
            "Face Hub, into the folder HF_HOME"
        ) from error


@dataclass(frozen=True)
class TaskSize:
    """How large a task is.

    Attributes:
        tested: Rows (of retrieval: queries) that are scored.
        classes: Classes; 0 for tasks without.
        test_ratio: Tested rows per row that a classifier learns from; None for tasks without one.
    """

    tested: int
    classes: int = 0
    test_ratio: float | None = None

    @classmethod
    def of(cls, task: Any) -> TaskSize:
        """Return the size of a task whose data are loaded."""
        counts, labels = list[int](), set[Any]()
        column = getattr(task, "label_column_name", "")
        for subset in task.hf_subsets:
            parts = task.dataset.get(subset, task.dataset)
            for part in (parts[split] for split in task.eval_splits if split in parts):
                queries = part.get("queries") if isinstance(part, dict) else None
                counts.append(len(part if queries is None else queries))
                if column in (getattr(part, "column_names", None) or ()):
                    values = part[column]
                    labels |= {value for value in values if isinstance(value, (int, str))}
        shots, ratio = getattr(task, "samples_per_label", None), None
        if shots and labels and counts:
            folds = task.n_splits if getattr(task, "is_cross_validation", False) else 1
            ratio = float(np.mean(counts)) / folds / (shots * len(labels))
        return cls(sum(counts), len(labels), ratio)


def scores_of(found: dict[str, list[dict[str, Any]]], metric: str) -> dict[str, float]:
    """Return the main scores by part, {"test / 3": 0.9}: of each experiment, where a task repeats its classifier.

    Args:
        found: ``TaskResult.scores``.
        metric: The task's main score.
    """
    scores: dict[str, float] = {}
    for split, parts in found.items():
        for part in parts:
            subset = part["hf_subset"]
            name = split if subset == "default" else f"{split} {subset}"
            repeated = part.get("scores_per_experiment") or []
            if repeated and all(metric in one for one in repeated):
                scores |= {f"{name} / {number}": float(one[metric]) for number, one in enumerate(repeated)}
            else:
                scores[name] = float(part["main_score"])
    return scores
