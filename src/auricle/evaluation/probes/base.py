"""What a probe is given: the arrays of one fold. A probe is a function of it that returns scores (n_test, C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey


@dataclass(frozen=True)
class ProbeData:
    """Features (n, D) and targets (n, C) of the training and validation part, features of the test part.

    groups (n_train,) keep one speaker's clips together when the training part is cut again; draws is the key of every
    random number; metric names what choosing by validation looks at.
    """

    train: np.ndarray
    train_targets: np.ndarray
    test: np.ndarray
    valid: np.ndarray | None = None
    valid_targets: np.ndarray | None = None
    multilabel: bool = False
    metric: str = "accuracy"
    groups: tuple[str, ...] = ()
    key: RandomKey = field(default_factory=lambda: RandomKey(42))


Probe = Callable[[ProbeData], np.ndarray]


@dataclass(frozen=True)
class StandardScaler:
    """Per-feature mean and deviation (n divisor) of a training part; features without variance are left unscaled."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> StandardScaler:
        features = np.asarray(features, dtype=np.float64)
        deviation = features.std(0)
        return cls(features.mean(0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (np.asarray(features, dtype=np.float64) - self.mean) / self.deviation


def check_features(features: np.ndarray, ids: Sequence[str]) -> None:
    """Raises AuricleError when an embedding holds NaN or infinity, naming the clips."""
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        shown = ", ".join(ids[i] for i in bad[:3])
        raise AuricleError(
            f"{len(bad)} of {len(features)} embeddings hold NaN or infinite values ({shown} …): the encoder is broken "
            "or overflows (try --precision float32); nothing was scored"
        )
