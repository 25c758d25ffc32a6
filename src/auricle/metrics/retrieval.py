"""Metrics of retrieval between sounds and captions: recall at k, ranks, and mean average precision at 10, in both directions.

Source: [evaluation 4](docs/specification/evaluation.md#s4). Every sound has one or more captions, every caption one sound. A sound
finds its captions where the best-ranked of them stands; a caption finds its one sound.
"""

from __future__ import annotations

import numpy as np

from auricle.metrics.classification import checked

AT = (1, 5, 10, 50)
MAP_AT = 10


def unit_length(vectors: np.ndarray, axis: int = 1) -> np.ndarray:
    """Scale vectors to unit length along ``axis``, in float64; lengths below 1e-12 count as 1e-12.

    The products of such vectors are their cosine similarities.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=axis, keepdims=True), 1e-12))


def retrieval_scores(similarity: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    """Return the scores of both directions: ``a2t_R@1`` … (sound to captions) and ``t2a_R@1`` … (caption to sound).

    Args:
        similarity: (sounds, captions), higher is more alike.
        owner: (captions,) the sound of each caption.

    Returns:
        R@1, R@5, R@10, R@50 and mAP@10 as shares of 1, and the median and mean rank from 1.

    Raises:
        AuricleError: Some similarity is NaN.
    """
    similarity, owner = checked(similarity), np.asarray(owner)
    by_sound = [ranks_of(row, owner == sound) for sound, row in enumerate(similarity) if (owner == sound).any()]
    by_caption = [
        ranks_of(column, np.arange(len(column)) == sound) for column, sound in zip(similarity.T, owner, strict=True)
    ]
    return _direction("a2t", by_sound) | _direction("t2a", by_caption)


def ranks_of(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Return the ranks (from 1, ascending) of the relevant of n items; of equal scores the earlier item comes first."""
    order = np.argsort(-scores, kind="stable")
    return np.flatnonzero(relevant[order]) + 1


def average_precision_at(ranks: np.ndarray, k: int = MAP_AT) -> float:
    """Return the average precision of one query over its first ``k`` results, divided by the number of relevant items.

    Args:
        ranks: Of the relevant items, from 1, ascending.
        k: How many results count.
    """
    within = ranks[ranks <= k]
    return float(np.sum(np.arange(1, len(within) + 1) / within) / len(ranks))


def _direction(name: str, ranks: list[np.ndarray]) -> dict[str, float]:
    first = np.array([own[0] for own in ranks])
    recall = {f"{name}_R@{k}": float(np.mean(first <= k)) for k in AT}
    precision = float(np.mean([average_precision_at(own) for own in ranks]))
    return recall | {
        f"{name}_mAP@{MAP_AT}": precision,
        f"{name}_median_rank": float(np.median(first)),
        f"{name}_mean_rank": float(np.mean(first)),
    }
