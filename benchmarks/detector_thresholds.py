"""Do calibration and thresholds keep on held-out folds what they promise on the clips that they were fitted on?

  python -m benchmarks.detector_thresholds ESC10 --weights FILE               the folds of its table
  python -m benchmarks.detector_thresholds FSDD --weights FILE --labels digit --groups speaker    one fold per speaker

ESC10 and FSDD are folders with ``audio/`` and ``meta.csv``. On every fold, a head learns from the other folds; its scores on
inner held-out folds give calibration and thresholds for a precision of 0.9; precision, recall and calibration error are those of
the fold. With ``--reported A B …`` only these classes are reported, and all others are one background class.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.lengths import with_lengths
from auricle.detectors.features import LabelledFeatures, read_features
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.detectors.selection import inner_folds, try_head
from auricle.inference.decisions.calibration import calibration_error, fit_decisions
from auricle.metrics.calibration import wilson_interval
from auricle.metrics.table import metric
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelSpace

HEADS = {"linear": FrozenHead("linear", 1.0), "gated-layers": FrozenHead("gated-layers", 0.1, "linear")}
PRECISION = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--model", default="mn04_as")
    parser.add_argument("--labels", help="column of the labels")
    parser.add_argument("--groups", help="column of groups, each of which is a fold")
    parser.add_argument("--reported", nargs="+", default=[])
    args = parser.parse_args()
    table = read_manifest(
        str(args.data / "audio"), labels=str(args.data / "meta.csv"), label_column=args.labels, group_column=args.groups
    )
    clips = with_lengths(table, quiet=True)
    space = LabelSpace("multiclass", tuple(clips.label_classes()))
    features, _ = read_features(clips, auricle.load(args.model, weights=args.weights), space.ids, quiet=True)
    by_id = {clip.id: clip.group if args.groups else clip.fold for clip in clips}
    folds = np.array([str(by_id[id]) for id in features.ids])
    if args.reported:
        features, space = with_background(features, space, args.reported)
    print("head          fold        precision            recall  background  error before  after")
    for name, head in HEADS.items():
        rows = [print_fold(name, head, features, folds, fold, space) for fold in np.unique(folds)]
        means = (
            np.nanmean(np.array(rows), axis=0) if not np.isnan(rows).all(0).any() else np.mean(np.array(rows), axis=0)
        )
        print(f"{name:12}  mean        " + "  ".join(f"{value:.3f}" for value in means))


def with_background(
    features: LabelledFeatures, space: LabelSpace, reported: list[str]
) -> tuple[LabelledFeatures, LabelSpace]:
    """Return the features with all but the reported classes as one background class."""
    kept = features.targets[:, [space.ids.index(name) for name in reported]]
    targets = np.concatenate([kept, 1 - kept.sum(1, keepdims=True)], axis=1).astype(np.float32)
    classes = LabelSpace("multiclass", (*reported, "background"), background=("background",))
    return replace(features, targets=targets, known=np.ones_like(targets)), classes


def print_fold(
    name: str, head: FrozenHead, features: LabelledFeatures, folds: np.ndarray, fold: str, space: LabelSpace
) -> tuple[float, ...]:
    """Print and return precision, recall, share of background that fires, calibration error before and after, of one fold."""
    training, tested = (features.take(np.flatnonzero(rows)) for rows in (folds != fold, folds == fold))
    trial = try_head(head, training, inner_folds(training), space.kind, metric("accuracy"))
    goal = ThresholdGoal(target_precision=PRECISION)
    decided = fit_decisions(space, trial.logits, training.targets, training.known, goal=goal).space
    logits = logits_of(fit_head(head, training, space.kind), tested)
    found = decided.decide(torch.from_numpy(logits)).numpy()[:, list(space.reported)]
    true = tested.targets[:, list(space.reported)] == 1
    hits, detections, background = int((found & true).sum()), int(found.sum()), ~true.any(1)
    low, high = wilson_interval(hits, detections)
    fired = float(found[background].any(1).mean()) if background.any() else float("nan")
    before, after = (calibration_error(s, logits, tested.targets) for s in (space, decided))
    precision, recall = hits / max(1, detections), hits / int(true.sum())
    print(
        f"{name:12}  {fold:10}  {precision:.3f} ({low:.2f}-{high:.2f})  {recall:.3f}  {fired:.3f}  {before:.3f}  {after:.3f}",
        flush=True,
    )
    return precision, recall, fired, before, after


if __name__ == "__main__":
    main()
