"""The meaning of the logits of a head: classes, calibration, thresholds, decisions, and what a recording is detected to hold.

A ``LabelSpace`` is saved in the weight file with its head (``hub/weight_file.py``).
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.options import from_plain

LabelKind = Literal["multiclass", "multilabel"]
MOST_CALIBRATION = 1e30  # of scales and offsets


@dataclass(frozen=True)
class LabelSpace:
    """The meaning of the logits of one head.

    Attributes:
        kind: "multiclass": exactly one class holds (softmax); "multilabel": each class holds or not (sigmoid).
        ids: the classes in the order of the logits, each once.
        names: display names in the same order; empty: the ids.
        background: ids of the classes that were trained as "none of these". They are never reported.
        scale, offset: per class; ``scale * logit + offset`` is the calibrated logit. Empty: no calibration.
        calibration_fitted_on: the data that scale and offset were fitted on.
        thresholds: per class, the minimum probability of a positive decision. Empty: 0.5 (multilabel) or none (multiclass).
        thresholds_fitted_on: the data that the thresholds were fitted on.
        named: False if the classes are unknown; the names are then "class 0", "class 1" and so on.
    """

    kind: LabelKind
    ids: tuple[str, ...]
    names: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    calibration_fitted_on: str = ""
    thresholds: tuple[float, ...] = ()
    thresholds_fitted_on: str = ""
    named: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            if isinstance(getattr(self, f.name), list):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
        object.__setattr__(self, "names", self.names or self.ids)
        if self.kind not in get_args(LabelKind):
            raise AuricleError(f"a label space is multiclass or multilabel, not {self.kind!r}")
        if not self.ids or len(set(self.ids)) < len(self.ids):
            raise AuricleError("the classes of a label space are one or more, each once")
        for name in ("names", "scale", "offset", "thresholds"):
            values = getattr(self, name)
            if values and len(values) != len(self):
                raise AuricleError(f"{len(self)} classes need as many {name}, not {len(values)}")
        if unknown := set(self.background) - set(self.ids):
            raise AuricleError(f"the background class '{min(unknown)}' is no class of this label space")
        small, large = 1 / MOST_CALIBRATION, MOST_CALIBRATION  # in float32, with any logit, neither 0 nor infinity
        if any(not small <= s <= large for s in self.scale) or any(not -large <= o <= large for o in self.offset):
            raise AuricleError(
                f"a calibration has scales from {small:g} to {large:g} and offsets from {-large:g} to {large:g}"
            )
        if any(not 0 <= t <= 1 for t in self.thresholds):
            raise AuricleError("a threshold is a probability between 0 and 1")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, classes: Sequence[tuple[str, str]], kind: LabelKind) -> LabelSpace:
        """Make the label space of (id, name) pairs in the order of the logits."""
        return cls(kind, tuple(str(id) for id, _ in classes), tuple(str(name) for _, name in classes))

    @classmethod
    def unnamed(cls, count: int, kind: LabelKind) -> LabelSpace:
        """Make the label space of ``count`` unknown classes."""
        ids = tuple(f"class {c}" for c in range(count))
        return cls(kind, ids, named=False)

    @property
    def classes(self) -> tuple[tuple[str, str], ...] | None:
        """(id, name) of each class in the order of the logits; None if they are unknown."""
        return tuple(zip(self.ids, self.names)) if self.named else None

    @property
    def reported(self) -> tuple[int, ...]:
        """Indices of the classes that are reported: all but the background."""
        return tuple(c for c, id in enumerate(self.ids) if id not in self.background)

    @property
    def default_threshold(self) -> float:
        """The threshold of a class where none was fitted: multiclass 0, since the likeliest class is decided for; else 0.5."""
        return 0.0 if self.kind == "multiclass" else 0.5

    def spelt_as(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the classes in the order of the logits as these labels write them: ids where all are ids, else names."""
        return self.ids if set(labels) <= set(self.ids) else self.names

    def probabilities(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities.

        Args:
            logits: (..., C) as the head gives them.

        Returns:
            (..., C) float32, of the background classes too.
        """
        self._check_width(logits)
        logits = logits.float()
        if self.scale:
            logits = logits * logits.new_tensor(self.scale)
        if self.offset:
            logits = logits + logits.new_tensor(self.offset)
        return logits.softmax(-1) if self.kind == "multiclass" else logits.sigmoid()

    def decide(self, logits: Tensor) -> Tensor:
        """Decide which classes hold.

        Args:
            logits: (..., C) as the head gives them.

        Returns:
            (..., C) bool, never True for a background class. Multiclass: at most one, the likeliest of all classes if it
            is no background class and reaches its threshold.
        """
        probabilities = self.probabilities(logits)
        decided = probabilities >= probabilities.new_tensor(self.thresholds or (self.default_threshold,))
        if self.kind == "multiclass":
            best = probabilities.argmax(-1, keepdim=True)
            decided = decided & torch.zeros_like(decided).scatter(-1, best, True)
        reported = torch.zeros(len(self), dtype=torch.bool, device=logits.device)
        reported[list(self.reported)] = True
        return decided & reported

    def calibrated(self, scale: Sequence[float], offset: Sequence[float], *, fitted_on: str) -> LabelSpace:
        """Return this label space with another calibration; thresholds, which were fitted before it, are dropped."""
        return replace(
            self,
            scale=tuple(map(float, scale)),
            offset=tuple(map(float, offset)),
            calibration_fitted_on=fitted_on,
            thresholds=(),
            thresholds_fitted_on="",
        )

    def uncalibrated(self) -> LabelSpace:
        """Return this label space without calibration and thresholds."""
        return replace(self, scale=(), offset=(), calibration_fitted_on="", thresholds=(), thresholds_fitted_on="")

    def with_thresholds(self, thresholds: Sequence[float], *, fitted_on: str) -> LabelSpace:
        """Return this label space with other thresholds (probabilities after calibration)."""
        return replace(self, thresholds=tuple(map(float, thresholds)), thresholds_fitted_on=fitted_on)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values that ``from_json`` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LabelSpace:
        """Read what ``as_json`` wrote; fields of a newer version are left out.

        Raises:
            AuricleError: for values that are no label space.
        """
        if not isinstance(values, dict):
            raise AuricleError(f"a label space is a mapping, not {reprlib.repr(values)}")
        known = {f.name for f in fields(cls)}
        return from_plain(cls, {name: value for name, value in values.items() if name in known}, "the label space")

    def _check_width(self, logits: Tensor) -> None:
        if logits.shape[-1] != len(self):
            raise AuricleError(f"this label space has {len(self)} classes, the logits have {logits.shape[-1]}")


# ---- the rule of ``LabelSpace.decide`` for arrays of probabilities
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
