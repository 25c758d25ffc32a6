"""A probe that is trained on a few clips per class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, Probe, class_targets_only
from auricle.evaluation.probes.logistic import Logistic
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import ClassTargets, Targets


@dataclass(frozen=True)
class FewShot:
    """Draw up to ``shots`` training clips per class and train ``probe`` on them.

    A larger draw contains the smaller ones of the same key. A class with fewer clips gives all it has.

    Attributes:
        shots: Training clips per class.
        probe: The probe that is trained; the reference figures have logistic regression with C = 1.
    """

    shots: int = 1
    probe: Probe = field(default_factory=Logistic)

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return the predictions of ``probe`` for the test rows. Raises AuricleError for several labels per clip."""
        return self.probe.fit_predict(features, targets, self.draw(targets, split, key), key)

    def draw(self, targets: Targets, split: Split, key: RandomKey) -> Split:
        """Return the split with the drawn training rows and no validation rows."""
        classes = single_label_only(targets)
        index, drawn = classes.index[split.train], []
        for c in np.unique(index):
            members = split.train[index == c]
            order = key.of(f"few-shot/{classes.classes[c]}").permutation(len(members))
            drawn.append(members[order[: self.shots]])
        return replace(split, train=np.sort(np.concatenate(drawn)), valid=split.valid[:0])


def single_label_only(targets: Targets) -> ClassTargets:
    """Return the targets as classes. Raises AuricleError for clips with several labels."""
    classes = class_targets_only(targets)
    if classes.multilabel:
        raise AuricleError("a few-shot curve needs exactly one label per clip; this task has clips with several")
    return classes
