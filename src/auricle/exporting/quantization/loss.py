"""What a smaller form loses of the task: agreement with its source, and mean average precision. It needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from auricle.exporting.description import Description
from auricle.exporting.golden import Clips
from auricle.exporting.runtimes import Outputs
from auricle.metrics.classification import mean_average_precision
from auricle.metrics.retrieval import unit_length


@dataclass(frozen=True)
class Answers:
    """What a graph gives for some clips: scores (n, C) of the main head, largest over the windows; embedding (n, D), their mean."""

    scores: np.ndarray | None
    embedding: np.ndarray


@dataclass(frozen=True)
class TaskLoss:
    """What is lost on some clips.

    Attributes:
        clips: how many.
        labels: a phrase that describes the labels.
        top1_agreement: share of clips with the same top class; without classes, with the same nearest other clip.
        source_map, map: mean average precision of source and exported graph; None without classes.
        embedding_cosine: the mean cosine of exported and source embeddings.
    """

    clips: int
    labels: str
    top1_agreement: float
    source_map: float | None
    map: float | None
    embedding_cosine: float

    @property
    def map_loss(self) -> float | None:
        """Mean average precision lost; negative: gained."""
        return None if self.map is None or self.source_map is None else self.source_map - self.map

    @property
    def total(self) -> float:
        """What forms are ordered by: mean average precision lost, and the share of clips with another top class."""
        return max(0.0, self.map_loss or 0.0) + 1 - self.top1_agreement

    def __str__(self) -> str:
        lost = "" if self.map is None else f", mAP {self.map:.4f} (source {self.source_map:.4f})"
        return f"top class agrees on {100 * self.top1_agreement:.1f} % of {self.clips} clips{lost}"


def answers_of(run: Callable[[np.ndarray], Outputs], clips: Clips, description: Description) -> Answers:
    """Return what a graph or its source gives for clips (S,) int16; ``run`` takes one and returns outputs of its windows."""
    scores, embeddings = [], []
    for wave in clips.values():
        outputs = run(wave)
        embeddings.append(outputs["embedding"].mean(axis=0))
        if description.heads:
            scores.append(outputs[description.heads[0].scores].max(axis=0))
    return Answers(np.stack(scores) if scores else None, np.stack(embeddings))


def task_loss(source: Answers, exported: Answers, targets: np.ndarray | None, labels: str) -> TaskLoss:
    """Compare two sets of answers for the same clips.

    Args:
        targets: (n, C) of 0 and 1; None: the top class of the source is the label.
        labels: a phrase that describes the labels.
    """
    cosine = float(np.mean(np.sum(unit_length(source.embedding) * unit_length(exported.embedding), axis=1)))
    n = len(source.embedding)
    if source.scores is None or exported.scores is None:
        same = _nearest(source.embedding) == _nearest(exported.embedding)
        return TaskLoss(n, labels, float(same.mean()), None, None, cosine)
    top = source.scores.argmax(axis=1)
    if targets is None:
        targets = np.zeros_like(source.scores)
        targets[np.arange(n), top] = 1
    finite = np.nan_to_num(exported.scores, nan=-1.0)
    return TaskLoss(
        n,
        labels,
        float((top == finite.argmax(axis=1)).mean()),
        mean_average_precision(source.scores, targets),
        mean_average_precision(finite, targets),
        cosine,
    )


def _nearest(vectors: np.ndarray) -> np.ndarray:
    cosines = unit_length(vectors) @ unit_length(vectors).T
    np.fill_diagonal(cosines, -np.inf)
    return np.asarray(cosines.argmax(axis=1))
