"""Which classes a recording or a window is detected to hold, by the thresholds of a label space.

The arrays follow ``LabelSpace.decide``: of classes that exclude each other only the likeliest of all, background included,
can be detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.models.label_space import LabelSpace

LEAST_SCORE = float(np.finfo(np.float32).tiny)  # what a detection has at least: 0 says that another class is likelier


@dataclass(frozen=True, eq=False)
class Detection:
    """The rule of a tagger that has thresholds.

    Attributes:
        classes: indices of the classes that are reported, in the order of the tagger's labels.
        exclusive: only the likeliest of all classes can be detected.
        thresholds: (C,) float32, least probability of each reported class.
    """

    classes: list[int]
    exclusive: bool
    thresholds: np.ndarray

    @classmethod
    def of(cls, space: LabelSpace, classes: Sequence[int], threshold: float | None = None) -> Detection | None:
        """Return the rule of a label space; None for one without thresholds.

        Args:
            classes: indices of the reported classes.
            threshold: in place of the thresholds of the classes.
        """
        if not space.thresholds:
            return None
        chosen = [space.thresholds[c] if threshold is None else threshold for c in classes]
        return cls(
            list(classes),
            space.kind == "multiclass",
            np.maximum(np.asarray(chosen, np.float32), np.float32(LEAST_SCORE)),
        )

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Return what is compared with the thresholds, (n, C) of the reported classes, of the probabilities of all, (n, C')."""
        return (only_likeliest(probabilities) if self.exclusive else probabilities)[:, self.classes]


def only_likeliest(probabilities: np.ndarray) -> np.ndarray:
    """Return (n, C) probabilities in which all classes but the likeliest of each row are 0."""
    best = np.zeros(probabilities.shape, dtype=bool)
    best[np.arange(len(best)), probabilities.argmax(1)] = True
    return np.where(best, probabilities, np.zeros_like(probabilities))
