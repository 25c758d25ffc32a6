"""Small indexes and answers of made-up reviewers: what a review starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auricle.index.answers import Answer
from auricle.index.database import SoundIndex
from auricle.index.description import IndexedClass, IndexedHead, IndexInfo

LABELS = ("Frog", "Owl")


def small_index(folder: Path, scores: Sequence[Sequence[float]], *, recording: Path | None = None) -> SoundIndex:
    """Return an index of one recording of windows of a second, with these scores of ``LABELS`` (n, 2).

    There is an event for each frog above 0.5. The rows are written directly: nothing is encoded.
    """
    path = str(recording or folder / "night.wav")
    classes = tuple(IndexedClass(name.lower(), name, name, 0.5) for name in LABELS)
    heads = (IndexedHead("", "multilabel", classes),)
    index = SoundIndex.create(folder, IndexInfo("mn", "0123456789abcdef", "mel", 32000, 1.0, 1.0, 4, heads=heads))

    def fill(db) -> None:
        columns = "id, path, state, size, modified, sha256, seconds, windows"
        values = (1, path, "complete", 1, 1, "", len(scores), len(scores))
        db.execute(f"INSERT INTO files ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        for number, row in enumerate(scores):
            db.execute("INSERT INTO spans VALUES (?, 1, ?, ?)", (number + 1, float(number), number + 1.0))
            for label, score in enumerate(row):
                if score >= index.info.min_score:
                    db.execute("INSERT INTO scores VALUES (?, ?, ?)", (number + 1, label, score))
            if row[0] > 0.5:
                event = "INSERT INTO events (file, label, start, stop, score) VALUES (1, 0, ?, ?, ?)"
                db.execute(event, (float(number), number + 1.0, row[0]))

    index.database.write(fill)
    return index


def answered(scores: np.ndarray, right: np.ndarray, label: str = "Frog", **more) -> list[Answer]:
    """Return a yes or no about each of n windows of one recording."""
    return [
        Answer("/night.wav", float(i), i + 1.0, label, "yes" if holds else "no", score=float(score), **more)
        for i, (score, holds) in enumerate(zip(scores, right))
    ]
