"""The metrics by name: the function, the task kinds it applies to, which direction is better, and how it is printed.

Add a metric with one line::

    METRICS["top2"] = Metric("top2", top2_accuracy, ("multiclass",))

Tasks, results, probes that choose by validation, and reports read this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.metrics import events
from auricle.metrics.classification import (
    accuracy,
    balanced_accuracy,
    checked,
    d_prime,
    mean_average_precision,
    mean_d_prime,
    mean_roc_auc,
)
from auricle.metrics.medical import SORTED_MURMURS, murmur_parts, respiratory_parts
from auricle.metrics.speech import equal_error_rate, token_error_rate

TASK_KINDS = {
    "multiclass": "exactly one label per clip",
    "multilabel": "any number of labels per clip",
    "events": "labelled segments with start and end",
    "sequence": "a sequence of tokens per clip",
    "pairs": "pairs of clips that are the same or different",
    "retrieval": "queries and the items relevant to them",
}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: The name that tasks, results and options use.
        function: Maps predictions and targets of the tested rows to one number. For classes both are (n, C) arrays:
            scores where higher is likelier, and targets of 0 and 1 (NaN: not annotated). For pairs they are (n, 1). For
            events both are lists of labelled spans, one list per recording.
        kinds: Task kinds that it applies to, keys of ``TASK_KINDS``.
        higher_is_better: False for error rates.
        factor: The number printed is ``factor`` times the value.
        unit: Unit of the number printed; "" for none.
        difference_unit: Unit of a difference of two values.
        digits: Decimals printed.
        parts: Further numbers of the same predictions and targets by name, such as the recall of each class.
        classes: Names that the first classes must have, in lower case: columns that the function takes for granted.
    """

    name: str
    function: Callable[[Any, Any], float]
    kinds: tuple[str, ...]
    higher_is_better: bool = True
    factor: float = 100.0
    unit: str = "%"
    difference_unit: str = "points"
    digits: int = 1
    parts: Callable[[Any, Any], dict[str, float]] | None = None
    classes: tuple[str, ...] = ()

    def __call__(self, predictions: Any, targets: Any) -> float:
        return self.function(predictions, targets)

    def with_parts(self, predictions: Any, targets: Any) -> dict[str, float]:
        """Return the value under the metric's name, and its parts."""
        parts = {} if self.parts is None else self.parts(predictions, targets)
        return {self.name: self(predictions, targets), **parts}

    def for_classes(self, names: Sequence[str]) -> Metric:
        """Return this metric, for columns of these classes. Raises AuricleError where it means other ones by them."""
        found = tuple(name.lower() for name in names[: len(self.classes)])
        if found == self.classes:
            return self
        raise AuricleError(
            f"the metric '{self.name}' is about classes that begin with {', '.join(self.classes)}; these are "
            f"{', '.join(names[:4])}{', …' if len(names) > 4 else ''}: give the class list in that order (--classes)"
        )

    @property
    def sign(self) -> int:
        """1, or -1 where lower is better: the sign makes larger values better."""
        return 1 if self.higher_is_better else -1


def _top1_accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    return accuracy(checked(scores).argmax(1), targets.argmax(1))


def _d_prime_of_auc(scores: np.ndarray, targets: np.ndarray) -> float:
    return d_prime(mean_roc_auc(scores, targets))


def _balanced_accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    return balanced_accuracy(checked(scores).argmax(1), targets.argmax(1), targets.shape[1])


def _chroma_accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    """The share of pitches whose place in the octave is right; the classes are semitones in order."""
    return accuracy(checked(scores).argmax(1) % 12, targets.argmax(1) % 12)


def _respiratory_score(scores: np.ndarray, targets: np.ndarray) -> float:
    return respiratory_parts(scores, targets)["score"]


def _murmur_accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    return murmur_parts(scores, targets)["weighted_accuracy"]


MURMURS = tuple(name.lower() for name in SORTED_MURMURS)
CLASS_KINDS = ("multiclass", "multilabel")
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _top1_accuracy, ("multiclass",)),
        Metric("balanced_accuracy", _balanced_accuracy, ("multiclass",)),
        Metric("chroma_accuracy", _chroma_accuracy, ("multiclass",)),
        Metric("mAP", mean_average_precision, CLASS_KINDS),
        Metric("roc_auc", mean_roc_auc, (*CLASS_KINDS, "pairs")),
        Metric("respiratory_score", _respiratory_score, ("multiclass",), parts=respiratory_parts, classes=("normal",)),
        Metric("murmur_accuracy", _murmur_accuracy, ("multiclass",), parts=murmur_parts, classes=MURMURS),
        Metric("segment_f", events.segment_f, ("events",)),
        Metric("event_f", events.event_f, ("events",)),
        Metric("onset_f", events.onset_f, ("events",)),
        Metric("onset_f_50ms", events.onset_f_50ms, ("events",)),
        Metric("event_f_50ms", events.event_f_50ms, ("events",)),
        Metric("segment_error_rate", events.segment_error_rate, ("events",), higher_is_better=False),
        Metric("token_error_rate", token_error_rate, ("sequence",), higher_is_better=False),
        Metric("equal_error_rate", equal_error_rate, ("pairs",), higher_is_better=False),
        Metric("mean_segment_f", events.mean_segment_f, ("events",)),
        Metric("mean_event_f", events.mean_event_f, ("events",)),
        Metric(
            "d_prime_of_auc", _d_prime_of_auc, CLASS_KINDS, factor=1.0, unit="", difference_unit="", digits=2
        ),  # d' of the mean area, as AudioSet's papers print it
        Metric("d_prime", mean_d_prime, (*CLASS_KINDS, "pairs"), factor=1.0, unit="", difference_unit="", digits=2),
    )
}


def metric(name: str, kind: str = "") -> Metric:
    """Return the metric of a name.

    Args:
        name: A key of ``METRICS``; the first edition's spelling with hyphens is accepted.
        kind: The task kind that it has to apply to; "" for any.

    Raises:
        AuricleError: The name is unknown, or the metric does not apply to ``kind``.
    """
    chosen = METRICS.get(metric_name(name))
    if chosen is None:
        raise AuricleError(f"unknown metric '{name}'{nearest(name, tuple(METRICS))}")
    if kind and kind not in chosen.kinds:
        meanings = "; ".join(f"{k}: {TASK_KINDS[k]}" for k in chosen.kinds)
        fitting = [m.name for m in METRICS.values() if kind in m.kinds]
        raise AuricleError(
            f"the metric '{chosen.name}' applies to {' and '.join(chosen.kinds)} tasks ({meanings}) and this task is {kind}"
            + (f"; use {', '.join(fitting)}" if fitting else "")
        )
    return chosen


def metric_name(name: str) -> str:
    """Return the name in this edition's spelling: ``roc-auc`` of the first edition is ``roc_auc``."""
    plain = name.replace("-", "_")
    return plain if plain in METRICS else name


def default_metric(kind: str) -> str:
    """Return the name of the first metric of the table that applies to a task kind.

    Raises:
        AuricleError: The table has no metric for this kind.
    """
    fitting = [m.name for m in METRICS.values() if kind in m.kinds]
    if not fitting:
        raise AuricleError(
            f"there is no metric for tasks of kind '{kind}' yet; add one to auricle.metrics.table.METRICS"
        )
    return fitting[0]
