"""A detector on a frozen encoder: features, trials of heads on held-out folds, the head that is kept, scores and calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.detectors.features import MOST_FRAME_BYTES, LabelledFeatures, read_features
from auricle.detectors.files import PART_NAMES, PartScores
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.detectors.growing import KeptDetector, compared, join, limited_to_own_classes
from auricle.detectors.selection import (
    Trial,
    can_be_validated,
    candidates,
    inner_folds,
    more_candidates,
    simplest,
    try_heads,
)
from auricle.embeddings.cache import EmbeddingCache
from auricle.inference.config import EmbedSettings
from auricle.inference.decisions.calibration import Decisions, background_rows, fit_decisions
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.data import LabelledData
from auricle.methods.supervised.detector_config import FROZEN_HEADS
from auricle.metrics.classification import truth_of
from auricle.metrics.table import Metric, default_metric, metric
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.base import Encoder
from auricle.models.label_space import LabelKind, LabelSpace

SEARCHED_FRAME_BYTES = 256 << 20  # of frames that a search (--autotune) may hold for heads that nobody named
OnTrial = Callable[[Trial], None] | None


@dataclass(frozen=True)
class HeadSelection:
    """The head that was kept for some training clips.

    Attributes:
        trials: of all heads that were tried.
        kept: the trial of the kept one.
        reason: why it was kept.
        folds: number of held-out folds; 1 where nothing could be held out.
    """

    trials: tuple[Trial, ...]
    kept: Trial
    reason: str
    folds: int


@dataclass(frozen=True)
class FrozenDetector:
    """A fitted detector with all that was measured.

    Attributes:
        encoder: with its head and the classes; not calibrated.
        features: of the clips that the head learnt from.
        selection: which head was kept, and why.
        parts: scores of clips by heads that did not learn from them.
        notes: sentences about the data, for people.
        seconds: that everything took.
        failed: {id: reason} of clips that could not be read.
        growth: of a detector that grew, from what, and the scores of its classes before and after; else {}.
    """

    encoder: Encoder
    features: LabelledFeatures
    selection: HeadSelection
    parts: tuple[PartScores, ...]
    notes: tuple[str, ...]
    seconds: float
    failed: dict[str, str]
    growth: dict[str, Any] = field(default_factory=dict)

    @property
    def space(self) -> LabelSpace:
        space = self.encoder.info.label_space
        assert space is not None
        return space


def chosen_metric(config: FinetuneConfig, space: LabelSpace) -> Metric:
    """Return the metric by which heads are chosen."""
    name = config.learning.metric
    return metric(default_metric(space.kind) if name == "auto" else name, space.kind).for_classes(space.names)


def make_frozen_detector(
    data: LabelledData,
    config: FinetuneConfig,
    *,
    cache: EmbeddingCache | None = None,
    grown: KeptDetector | None = None,
    on_trial: OnTrial = None,
    quiet: bool = True,
) -> FrozenDetector:
    """Fit and score the best frozen head of labelled clips.

    Args:
        data: the clips, and the encoder.
        config: which heads are tried, the metric, the seed, the device. With ``fold`` "all" every fold of the clips is tested
            by a head that was chosen and fitted on the other folds, before the detector learns from all clips.
        cache: of the embeddings; None: the one in the cache folder.
        grown: a detector that grows: the clips that it learnt from are learnt too.
        on_trial: called after each trial on all training clips.
        quiet: no progress bar.

    Raises:
        AuricleError: nothing can be learnt from the clips, or none of them can be read.
    """
    started = time.monotonic()
    encoder, space = data.encoder, data.space
    assert encoder is not None
    assert space is not None
    reader = FeatureReader(encoder, data, config, cache or EmbeddingCache(), quiet)
    features, failed = reader(data.dataset.manifest)
    joined, new_clips = None, len(features)
    if grown is not None:
        space = grown.joined_space(space)
        joined = join(grown, reader.own_classes(features, data.dataset.manifest), space)
        features = joined.features
    kinds = kinds_of(config)
    scored_by, seed = chosen_metric(config, space), config.train.seed
    minutes = config.detector.autotune or 0.0
    tested = []
    if config.data.fold == "all":
        tested.append(tested_by_fold(features, data.dataset.manifest, kinds, space.kind, scored_by, seed))
    selection = select_head(features, kinds, space.kind, scored_by, seed=seed, minutes=minutes, on_trial=on_trial)
    head = fit_head(selection.kept.choice, features, space.kind)
    parts = [PartScores.of("train", features, selection.kept.logits)] if selection.folds > 1 else []
    for name, part in (("valid", data.valid), ("test", data.test)):
        if part is not None:
            held, lost = reader(part.dataset.manifest)
            failed |= lost
            held = held if grown is None else reader.own_classes(held, part.dataset.manifest)
            parts.append(PartScores.of(name, held, logits_of(head, held)))
    twin = encoder.without_head().with_head(head, space).eval()
    lacks_frames = reads_frames(config) and features.frames is None
    notes = ("attentive heads are left out: the frames of these clips take too much memory",) if lacks_frames else ()
    growth: dict[str, Any] = {}
    if grown is not None and joined is not None:
        notes = (*notes, *joined.notes)
        growth = {
            "run": str(grown.run),
            "old_clips": len(joined.old_rows),
            "new_clips": new_clips,
            "new_classes": [id for id in space.ids if id not in grown.space.ids],
            "scores": compared(grown, joined, selection.kept.logits, space) if selection.folds > 1 else {},
        }
    return FrozenDetector(
        twin, features, selection, (*parts, *tested), notes, time.monotonic() - started, failed, growth
    )  # fmt: skip


def kinds_of(config: FinetuneConfig) -> tuple[str, ...]:
    """Return the kinds of heads that are tried, where their features are there."""
    return ("linear",) if config.detector.how == "probe" else config.detector.heads or FROZEN_HEADS


def reads_frames(config: FinetuneConfig) -> bool:
    """Return True if attentive heads are tried: where they are named, or a budget of time is there to search in."""
    detector = config.detector
    wanted = "attentive" in detector.heads or (bool(detector.autotune) and not detector.heads)
    return wanted and detector.how != "probe"


@dataclass(frozen=True)
class FeatureReader:
    """Reads the features of a part of the data."""

    encoder: Encoder
    data: LabelledData
    config: FinetuneConfig
    cache: EmbeddingCache
    quiet: bool

    def __call__(self, manifest: Manifest) -> tuple[LabelledFeatures, dict[str, str]]:
        labels, train = self.data.dataset.labels, self.config.train
        assert labels is not None
        settings = EmbedSettings(precision=train.precision, device=train.device, workers=max(1, train.workers))
        return read_features(
            manifest,
            self.encoder,
            tuple(labels.index),
            seconds=self.config.data.seconds,
            cache=self.cache,
            settings=settings,
            frames=reads_frames(self.config),
            most_bytes=MOST_FRAME_BYTES if self.config.detector.heads else SEARCHED_FRAME_BYTES,
            quiet=self.quiet,
        )

    def own_classes(self, features: LabelledFeatures, manifest: Manifest) -> LabelledFeatures:
        """Return the features of a part without claims about classes that only the detector that grows has."""
        labels, space = self.data.dataset.labels, self.data.space
        assert labels is not None
        assert space is not None
        if space.kind == "multiclass":
            return features
        return limited_to_own_classes(features, manifest, self.data.dataset.manifest, tuple(labels.index))


def select_head(
    features: LabelledFeatures,
    kinds: Sequence[str],
    kind: LabelKind,
    scored_by: Metric,
    *,
    seed: int = 0,
    minutes: float = 0.0,
    on_trial: OnTrial = None,
) -> HeadSelection:
    """Try heads on held-out folds of the clips and choose the simplest good one.

    Args:
        features: of the training clips.
        kinds: of heads.
        kind: of the labels.
        scored_by: the metric.
        seed: of the folds.
        minutes: in which further settings are tried, once the usual ones have been.
        on_trial: called after each trial.

    Raises:
        AuricleError: no head can be tried, or none could be scored.
    """
    heads, folds = candidates(kinds, features), inner_folds(features, seed)
    if not heads:
        raise AuricleError(
            f"none of the heads {', '.join(kinds)} can be fitted: their features are not there; leave --heads out"
        )
    if not can_be_validated(features, folds):
        plain = next((head for head in heads if head == FrozenHead("linear")), heads[0])
        untried = Trial(plain, scored_by.name, (), float("nan"), 0.0, np.zeros(features.targets.shape, np.float32))
        return HeadSelection(
            (), untried, f"{plain.kind} is kept: too few clips or groups of each class to hold some out", 1
        )
    trials = try_heads(heads, features, folds, kind, scored_by, on_trial=on_trial)
    if minutes:
        until = time.monotonic() + 60 * minutes
        more = (head for head in more_candidates(kinds, features, seed) if head not in heads)
        trials += try_heads(more, features, folds, kind, scored_by, until=until, on_trial=on_trial)
    kept, reason = simplest(trials, scored_by.sign)
    return HeadSelection(tuple(trials), kept, reason, len(np.unique(folds)))


def tested_by_fold(
    features: LabelledFeatures, manifest: Manifest, kinds: Sequence[str], kind: LabelKind, scored_by: Metric, seed: int
) -> PartScores:
    """Test every fold of the manifest by a head that was chosen, tuned and fitted on the other folds.

    Raises:
        AuricleError: fewer than two folds.
    """
    from auricle.methods.supervised.clips import clip_of

    by_id = {clip.id: clip.fold for clip in manifest}
    folds = np.array([-1 if (fold := by_id.get(clip_of(id), by_id.get(id))) is None else fold for id in features.ids])
    present = [int(fold) for fold in np.unique(folds) if fold >= 0]
    if len(present) < 2:
        raise AuricleError(
            f"--fold all needs clips of two folds or more; these have {len(present)}: add a column fold to the table, or leave "
            "--fold out"
        )
    logits = np.zeros(features.targets.shape, np.float32)
    for fold in present:
        held, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        training = features.take(others)
        kept = select_head(training, kinds, kind, scored_by, seed=seed).kept
        logits[held] = logits_of(fit_head(kept.choice, training, kind), features.take(held))
    rows = np.flatnonzero(folds >= 0)
    return PartScores.of("test", features.take(rows), logits[rows])


def decide(parts: Sequence[PartScores], space: LabelSpace, goal: ThresholdGoal, folds: int) -> Decisions | None:
    """Fit calibration and thresholds on the clips that no scoring head learnt from and that are not the test part.

    Args:
        parts: scores of the parts.
        space: the classes.
        goal: what the thresholds are for.
        folds: number of held-out folds of the training part.

    Returns:
        The decisions; None where no clips but those of the test part were scored.
    """
    fitted = [part for part in parts if part.part != "test"]
    if not fitted:
        return None
    names = {"train": f"{folds} held-out folds of the training clips", "valid": f"{PART_NAMES['valid']} clips"}
    logits, targets, known, seconds = (
        np.concatenate([getattr(part, name) for part in fitted]) for name in ("logits", "targets", "known", "seconds")
    )
    empty = background_rows(space, truth_of(targets, known))
    return fit_decisions(
        space,
        logits,
        targets,
        known,
        goal=goal,
        hours_of_background=float(np.nansum(seconds[empty])) / 3600 or None,
        groups=[group for part in fitted for group in part.groups],
        fitted_on=" and ".join(names[part.part] for part in fitted),
    )


def part_scores(part: PartScores, space: LabelSpace, config: FinetuneConfig) -> dict[str, float]:
    """Return the metrics of a part, and of how many classes it holds clips."""
    names = (chosen_metric(config, space).name, *config.learning.extra_metrics)
    values: dict[str, float] = {}
    for name in names:
        values |= metric(name, space.kind).for_classes(space.names).with_parts(part.logits, part.truth())
    return {**values, "classes_scored": float(((part.targets * part.known) > 0).any(0).sum())}
