"""When training the whole network is worth a try beside frozen heads, and when what it gives is clearly better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.detectors.files import PartScores
from auricle.detectors.selection import held_out_loss
from auricle.methods.supervised.clips import clip_of
from auricle.metrics.table import Metric
from auricle.models.label_space import LabelKind

# Layer decay, rate and warm-up of issue 17 (a tenth of the updates: warm-up "auto"). The head is fitted before, so that few
# passes at a low rate suffice; their number is our choice.
# Norms are fixed, because the head was fitted on features of the running statistics: with those of batches, fine-tuning of mn04_as
# on spoken digits began at a loss of 5.7 (chance: 2.3) and ended worse than the frozen head.
FROM_FITTED_HEAD: dict[str, Any] = {
    "layer_decay": 0.75,
    "lr": 5e-5,
    "warmup_epochs": None,
    "epochs": 10,
    "fixed_norms": True,
    "norm_warmup": False,
}
ENOUGH_CLIPS = 50  # to learn from, in the median class: our choice
MOST_MINUTES = 10.0  # that the training may take where no budget is given: our choice
RESAMPLINGS = 200
FEW_GROUPS = 5  # of fewer groups, clips are drawn: their deviation would be hardly known


def why_too_few(targets: np.ndarray) -> str:
    """Return why clips with these targets (n, C) are too few to train the whole network; "" where they are enough."""
    median = int(np.median(targets.sum(0)))
    if median >= ENOUGH_CLIPS:
        return ""
    return f"the median class has {median} clips to learn from, and it is tried from {ENOUGH_CLIPS} on"


@dataclass(frozen=True)
class NetworkComparison:
    """Scores of the trained network and of the frozen head on the same clips, which neither learnt from.

    Attributes:
        metric: name of the metric.
        score: of the trained network.
        frozen: of the frozen head.
        gain: how much better the trained network is.
        error: standard error of the gain.
        loss: mean log loss of the trained network.
        clips: number of the clips.
    """

    metric: str
    score: float
    frozen: float
    gain: float
    error: float
    loss: float
    clips: int

    @property
    def clearly_better(self) -> bool:
        return self.gain > self.error

    def __str__(self) -> str:
        return (
            f"on {self.clips} held-out clips its {self.metric} is {self.score:.4f}, that of the frozen head {self.frozen:.4f}: "
            f"{'better' if self.gain > 0 else 'not better'} by {abs(self.gain):.4f}, with a standard error of {self.error:.4f}"
        )


def compare(
    trained: PartScores, frozen: PartScores, kind: LabelKind, metric: Metric, *, seed: int = 0
) -> NetworkComparison:
    """Compare a trained network with a frozen head on the clips that both scored.

    The standard error of the difference is its deviation over bootstrap samples of the clips; with five groups or more, clips of
    one group are drawn together ([Efron 1979](https://doi.org/10.1214/aos/1176344552)).

    Args:
        trained, frozen: logits of clips; those of windows of a clip are averaged.
        kind: of the labels.
        metric: by which they are compared.
        seed: of the samples.
    """
    ids, own = _clip_means(trained)
    other = dict(zip(*_clip_means(frozen)))
    rows = [row for row, id in enumerate(ids) if id in other]
    own, others = own[rows], np.stack([other[ids[row]] for row in rows])
    first = {clip_of(id): row for row, id in reversed(list(enumerate(trained.ids)))}
    kept = [first[ids[row]] for row in rows]
    names = [trained.groups[row] for row in kept]
    names = names if len(set(names)) >= FEW_GROUPS else [str(row) for row in kept]
    truth, groups = trained.truth()[kept], np.unique(names, return_inverse=True)[1]
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    source, gains = RandomKey(seed).of("compare"), list[float]()
    for _ in range(RESAMPLINGS):
        drawn = np.concatenate([members[group] for group in source.integers(0, len(members), len(members))])
        gains.append(metric.sign * (metric(own[drawn], truth[drawn]) - metric(others[drawn], truth[drawn])))
    score, before = metric(own, truth), metric(others, truth)
    loss = held_out_loss(own, trained.targets[kept], trained.known[kept], kind)
    gain = metric.sign * (score - before)
    return NetworkComparison(metric.name, score, before, gain, float(np.nanstd(gains, ddof=1)), loss, len(rows))


def _clip_means(part: PartScores) -> tuple[list[str], np.ndarray]:
    """Return the ids of the clips of windows, and the mean logits (n, C) of each."""
    names: Sequence[str] = [clip_of(id) for id in part.ids]
    ids = list(dict.fromkeys(names))
    index = {id: row for row, id in enumerate(ids)}
    rows = np.array([index[name] for name in names])
    sums = np.zeros((len(ids), part.logits.shape[1]))
    np.add.at(sums, rows, part.logits)
    return ids, sums / np.bincount(rows)[:, None]
