"""A detector's files as its report reads them: classes, scores of clips that it did not learn from, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.detectors.features import load_features
from auricle.detectors.files import PART_NAMES, PartScores, described_space, load_description, load_scores
from auricle.detectors.frozen_heads import FrozenHead
from auricle.detectors.learning_curve import LearningCurve, learning_curve
from auricle.inference.decisions.calibration import (
    background_rows,
    calibration_error,
    decision_scores,
    detected_classes,
    probabilities,
)
from auricle.metrics.calibration import wilson_interval
from auricle.metrics.classification import average_precision
from auricle.metrics.table import Metric, default_metric, metric
from auricle.models.label_space import LabelSpace
from auricle.reports.run_view import RunView


@dataclass(frozen=True)
class ClassFigures:
    """What a detector gives for one class on the clips that the page shows.

    Attributes:
        place: of the class in the order of the logits.
        clips: clips with the class.
        hits, decided: right detections, all detections.
        average_precision: of the ranking; NaN without clips of the class.
    """

    place: int
    name: str
    clips: int
    hits: int
    decided: int
    average_precision: float

    @property
    def precision(self) -> float:
        return self.hits / self.decided if self.decided else float("nan")

    @property
    def recall(self) -> float:
        return self.hits / self.clips if self.clips else float("nan")

    @property
    def precision_interval(self) -> tuple[float, float]:
        return wilson_interval(self.hits, self.decided)

    @property
    def recall_interval(self) -> tuple[float, float]:
        return wilson_interval(self.hits, self.clips)


@dataclass(frozen=True)
class DetectorView:
    """A detector.

    Attributes:
        run: its run folder.
        described: the content of ``evaluations/detector.json``.
        space: the classes, with calibration and thresholds where they were fitted.
        parts: scores of clips that the scoring heads did not learn from.
    """

    run: RunView
    described: dict[str, Any]
    space: LabelSpace
    parts: tuple[PartScores, ...]

    @classmethod
    def open(cls, run: RunView) -> DetectorView | None:
        """Read a detector's files; None for a run that is no detector.

        Raises:
            AuricleError: a file is damaged, or the files do not fit together.
        """
        if not run.folder.detector.is_file():
            return None
        described, parts = load_description(run.path), tuple(load_scores(run.path))
        spaces = run.encoder.get("info", {}).get("label_spaces") or [None]
        if spaces[0] is None and described.get("calibration"):
            raise AuricleError(
                f"{run.folder.encoder} is missing or damaged, and calibration and thresholds with it, so the scores are not shown"
            )
        plain = described_space(described)
        space = LabelSpace.from_json(spaces[0]) if spaces[0] else plain
        if space.ids != plain.ids or any(part.logits.shape[1] != len(space) for part in parts):
            raise AuricleError(f"{run.folder.detector} describes other classes than the weights beside it")
        return cls(run, described, space, parts) if parts else None

    @property
    def shown(self) -> PartScores:
        """The clips that the page shows: the test part where there is one, then the validation part."""
        by_name = {part.part: part for part in self.parts}
        return next(by_name[name] for name in ("test", "valid", "train") if name in by_name)

    @property
    def tested(self) -> bool:
        """Return True if neither the head nor the thresholds were chosen on the shown clips."""
        return self.shown.part == "test"

    @property
    def shown_in_words(self) -> str:
        """ "80 test clips"."""
        return f"{len(self.shown.ids):,} {PART_NAMES[self.shown.part]} clips"

    @cached_property
    def truth(self) -> np.ndarray:
        """(n, C) of the shown clips, 0 and 1; NaN where a class was not annotated."""
        return self.shown.truth()

    @cached_property
    def scores(self) -> np.ndarray:
        """(n, C) calibrated probabilities of the shown clips."""
        return probabilities(self.space, self.shown.logits)

    @cached_property
    def compared(self) -> np.ndarray:
        """(n, C) what a threshold is compared with: of exclusive classes 0 but for the likeliest."""
        return decision_scores(self.space, self.shown.logits)

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(C,) float32; what the label space decides by where none were fitted."""
        return np.asarray(self.space.thresholds or (self.space.default_threshold,) * len(self.space), np.float32)

    @cached_property
    def detected(self) -> np.ndarray:
        """(n, C) True where a class is detected in a shown clip."""
        return detected_classes(self.space, self.shown.logits)

    @cached_property
    def background(self) -> np.ndarray:
        """(n,) True for shown clips without any reported class."""
        return background_rows(self.space, self.truth)

    @property
    def background_hours(self) -> float:
        """Length of the shown clips without any reported class."""
        return float(np.nansum(self.shown.seconds[self.background])) / 3600

    def false_alarms(self, place: int) -> float:
        """Detections of a class an hour, in the shown clips without any reported class; NaN without such clips."""
        hours = self.background_hours
        return float(self.detected[self.background, place].sum()) / hours if hours else float("nan")

    @cached_property
    def figures(self) -> tuple[ClassFigures, ...]:
        """Of the reported classes, in the order of the logits."""
        rows = []
        for c in self.space.reported:
            known = ~np.isnan(self.truth[:, c])
            detected = self.detected[known, c]
            right, name = self.truth[known, c] == 1, self.space.names[c]
            ranked = average_precision(self.scores[:, c], self.truth[:, c])
            rows.append(
                ClassFigures(c, name, int(right.sum()), int((detected & right).sum()), int(detected.sum()), ranked)
            )
        return tuple(rows)

    @property
    def calibration_errors(self) -> tuple[float, float]:
        """The expected calibration error of the shown clips before and after calibration."""
        return tuple(  # type: ignore[return-value]
            calibration_error(space, self.shown.logits, self.shown.targets, self.shown.known)
            for space in (self.space.uncalibrated(), self.space)
        )

    @property
    def metric(self) -> Metric:
        """The metric that the head was chosen by."""
        trials = self.described.get("trials") or [{}]
        name = trials[0].get("metric") or default_metric(self.space.kind)
        return metric(name, self.space.kind).for_classes(self.space.names)

    @cached_property
    def curve(self) -> LearningCurve | None:
        """The learning curve of the kept head, measured on the stored features; None where they are not there."""
        head = self.described.get("head", {})
        if not self.run.folder.features.is_file() or head.get("kind") in (None, "full", "attentive"):
            return None
        features, classes = load_features(self.run.folder.features)
        if classes != self.space.ids:
            return None
        return learning_curve(
            features, FrozenHead.of(head["kind"], head.get("settings", {})), self.space.kind, self.metric
        )
