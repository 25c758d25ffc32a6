"""Small labelled corpora for the evaluation tests: classes differ in pitch, so that every probe can tell them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.data.manifest.manifest import Clip, Manifest
from auricle.evaluation.evaluation import Coverage, Evaluation, Score
from auricle.evaluation.scoring import FoldScore, TaskSplit
from auricle.evaluation.splits import NO_ROWS, Split
from auricle.evaluation.targets import ClassTargets
from helpers.sounds import tone, write_sound

CLASSES = ("high", "low", "middle")
SCORE = Score("a", 0.5, None, (FoldScore("test", 0, 0.5, 4, 0, 1, 1),))
EVALUATION = Evaluation("tones", "logistic", "accuracy", SCORE, (), ("a",), 1, False, Coverage(1, 0, 0, 0, 1), ())
HERTZ = {"low": 300.0, "middle": 900.0, "high": 2700.0}


def corpus(folder: Path, per_class: int = 6, folds: int = 3, seconds: float = 0.25) -> Manifest:
    """Three classes of tones as files, with folds and two groups per fold."""
    clips = []
    for name in CLASSES:
        for i in range(per_class):
            path = f"{name}-{i}.wav"
            write_sound(folder / path, tone(seconds, 16000, HERTZ[name] * (1 + 0.02 * i), seed=i))
            fold = i % folds + 1
            clips.append(Clip(path, path=path, labels=(name,), fold=fold, group=f"speaker {fold}-{i % 2}"))
    return Manifest(tuple(clips), folder)


def table(manifest: Manifest, path: Path, columns: str = "filename,fold,label") -> Path:
    """The manifest's labels as a CSV."""
    names = columns.split(",")
    cells = [{"filename": c.path, "label": c.labels[0], "fold": c.fold, "speaker": c.group} for c in manifest]
    rows = [",".join(str(row[name]) for name in names) for row in cells]
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def task_split(index: np.ndarray, parts: np.ndarray, metric: str = "accuracy") -> TaskSplit:
    """Class indices and fold numbers per row -> a TaskSplit that holds every fold out once."""
    classes = tuple(str(c) for c in range(int(index.max()) + 1))
    targets = ClassTargets(classes, np.eye(len(classes), dtype=np.float32)[index], metric=metric)
    groups = tuple(f"clip {i}" for i in range(len(index)))
    splits = [
        Split(f"fold {p}", np.flatnonzero(parts != p), NO_ROWS, np.flatnonzero(parts == p), groups)
        for p in dict.fromkeys(parts.tolist())
    ]
    return TaskSplit(targets, splits)


def blobs(
    n: int = 120, classes: int = 3, width: int = 8, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds: features (n, D) and class indices (n,)."""
    source = np.random.default_rng(seed)
    index = np.arange(n) % classes
    return source.standard_normal((classes, width))[index] * 2 + spread * source.standard_normal((n, width)), index
