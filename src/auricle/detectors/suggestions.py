"""Which clips are most worth a label: doubtful ones that differ from each other, and random ones that keep rates honest.

    doubts    = doubts_of(probabilities, space)         how little the model is sure of each clip
    random    = random_rows(count, number, seed)        drawn from all clips, with one known probability
    doubtful  = varied_rows(doubts, vectors, number)    greedy: doubtful, and far from what is chosen or labelled

No PyTorch here; ``window_scan.py`` computes scores and embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auricle.core.randomness import RandomKey

if TYPE_CHECKING:
    from auricle.models.label_space import LabelSpace

NEAR_THRESHOLD, CLOSE_CLASSES, RANDOM = "near threshold", "close classes", "random"  # reasons
CENTRE_WEIGHT = 0.05  # of the mean vector that stays in the comparison, so that clips at the mean are alike


@dataclass(frozen=True)
class Suggestion:
    """A clip that is worth a label.

    Attributes:
        path: the recording.
        start, end: seconds of the recording; None: the whole recording.
        label: the class that is asked about.
        score: its calibrated probability.
        reason: "near threshold", "close classes" or "random".
        probability: of being drawn, for a random clip; None for another.
    """

    path: str
    start: float | None
    end: float | None
    label: str
    score: float
    reason: str
    probability: float | None = None


class Doubts(NamedTuple):
    """Of n clips: doubt (n,) from 0 to 1, the class to ask about (n,), its probability (n,), the reason (n,)."""

    doubt: np.ndarray
    label: np.ndarray
    score: np.ndarray
    reason: np.ndarray


def doubts_of(probabilities: np.ndarray, space: LabelSpace, asked: Sequence[int] | None = None) -> Doubts:
    """Compute how doubtful a model is about clips.

    A score p is doubtful by its distance to the threshold t: min(p / t, (1 - p) / (1 - t)), which is 1 at the threshold and
    0 at both ends. Where each class holds or not, the most doubtful class counts. Where classes exclude each other, the
    margin between the two likeliest answers counts too (1 - margin); all classes that are not asked about are one answer.

    Args:
        probabilities: (n, C), calibrated.
        space: the classes of the columns.
        asked: indices of the classes to ask about; None: all but the background.

    Returns:
        Doubts: n values each.
    """
    columns = list(space.reported if asked is None else asked)
    p = probabilities[:, columns].astype(np.float64)
    rows = np.arange(len(p))
    thresholds = space.thresholds or (space.default_threshold,) * len(space)
    distance = _nearness(p, np.array([thresholds[c] for c in columns]))
    if space.kind == "multilabel":
        best = distance.argmax(1) if len(p) else np.zeros(0, np.int64)
        reason = np.full(len(p), NEAR_THRESHOLD, object)
        return Doubts(distance[rows, best], np.array(columns)[best], p[rows, best], reason)
    best = p.argmax(1) if len(p) else np.zeros(0, np.int64)
    others = np.clip(1.0 - p.sum(1, keepdims=True), 0.0, 1.0)
    two = -np.sort(-np.concatenate([p, others], axis=1), axis=1)[:, :2]
    margin = 1.0 - (two[:, 0] - two[:, 1])
    near = distance[rows, best] if space.thresholds else np.zeros(len(p))
    reason = np.where(near > margin, NEAR_THRESHOLD, CLOSE_CLASSES).astype(object)
    return Doubts(np.maximum(near, margin), np.array(columns)[best], p[rows, best], reason)


def _nearness(p: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """(n, C) probabilities and (C,) thresholds -> (n, C): 1 at the threshold, 0 at 0 and 1."""
    below = p / np.where(threshold > 0, threshold, 1.0) + (threshold == 0)
    above = (1.0 - p) / np.where(threshold < 1, 1.0 - threshold, 1.0) + (threshold == 1)
    return np.clip(np.minimum(below, above), 0.0, 1.0)


def random_rows(count: int, number: int, seed: int) -> np.ndarray:
    """Draw ``number`` of ``count`` rows without repetition, each with probability number / count; sorted."""
    return np.sort(RandomKey(seed).of("suggest").permutation(count)[:number])


def comparable(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return unit vectors whose products are the similarities of clips.

    The embeddings of an encoder share a large common part, which would make all clips alike: the ``centre`` is subtracted.
    A twentieth of its length stays as one more coordinate, so that clips that are nothing but the centre are alike.

    Args:
        vectors: (n, D) clip embeddings.
        centre: (D,) their mean over all clips.

    Returns:
        (n, D + 1) float32 of length 1.
    """
    rest = np.full((len(vectors), 1), CENTRE_WEIGHT * float(np.linalg.norm(centre)) + 1e-12)
    joined = np.concatenate([vectors - centre, rest], axis=1)
    return (joined / np.linalg.norm(joined, axis=1, keepdims=True)).astype(np.float32)


def varied_rows(
    doubt: np.ndarray, units: np.ndarray, number: int, *, near: float, apart_from: np.ndarray | None = None
) -> list[int]:
    """Choose doubtful clips that differ, one by one: the largest doubt x (1 - similarity to the nearest clip at hand).

    Args:
        doubt: (n,) from 0 to 1.
        units: (n, D) of length 1 (``comparable``).
        number: how many; fewer are chosen where the others are near-duplicates.
        near: a clip with a larger similarity to one at hand is a near-duplicate, which is never chosen.
        apart_from: (m, D) unit vectors of clips that are chosen or labelled already.

    Returns:
        Row numbers in the order of choice.
    """
    if not len(doubt):
        return []
    nearest = np.zeros(len(doubt), np.float32)
    for block in np.array_split(apart_from, max(1, len(apart_from) // 512)) if apart_from is not None else ():
        if len(block):
            nearest = np.maximum(nearest, (units @ block.T).max(1))
    chosen: list[int] = []
    open_rows = np.ones(len(doubt), bool)
    for _ in range(min(number, len(doubt))):
        value = np.where(open_rows & (nearest <= near), (doubt + 1e-9) * (1.0 - nearest), -1.0)
        row = int(value.argmax())
        if value[row] < 0:
            break
        chosen.append(row)
        open_rows[row] = False
        nearest = np.maximum(nearest, units @ units[row])
    return chosen


class DoubtfulClips:
    """Collects clips one by one and keeps the vectors of the most doubtful ones, so that memory stays bounded.

    Args:
        size: clips whose vectors are kept.
    """

    def __init__(self, size: int):
        self.size = size
        self.rows: list[int] = []
        self.doubts: list[float] = []
        self.vectors: list[np.ndarray] = []

    def add(self, row: int, doubt: float, vector: np.ndarray) -> None:
        """Add a clip: its number, doubt and embedding (D,)."""
        self.rows.append(row)
        self.doubts.append(doubt)
        self.vectors.append(vector)
        if len(self.rows) > 2 * self.size:
            self._prune()

    def _prune(self) -> None:
        order = np.argsort(-np.array(self.doubts), kind="stable")[: self.size]
        self.rows, self.doubts, self.vectors = (
            [values[i] for i in order] for values in (self.rows, self.doubts, self.vectors)
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (rows (n,), doubts (n,), vectors (n, D)) of the most doubtful clips, the most doubtful first."""
        self._prune()
        vectors = np.stack(self.vectors) if self.vectors else np.zeros((0, 0), np.float32)
        return np.array(self.rows, np.int64), np.array(self.doubts), vectors
