"""Are a detector's probabilities right, and are its thresholds kept, on clips of a fold that it never saw?

Everything is fitted on the training folds: the head by the product's choice, calibration and thresholds on the scores of its
held-out folds. Mixtures: clips of one fold added two and two at random levels, so that a clip has one or two labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from auricle.audio.decode import read
from auricle.core.randomness import RandomKey
from auricle.data.manifest.formats import read_manifest
from auricle.detectors.features import LabelledFeatures, read_features
from auricle.detectors.files import PartScores
from auricle.detectors.frozen import decide, select_head
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.detectors.selection import inner_folds, try_head
from auricle.inference.decisions.calibration import decision_scores, probabilities
from auricle.methods.supervised.detector_config import FROZEN_HEADS
from auricle.metrics.calibration import expected_calibration_error, top_label, wilson_interval
from auricle.metrics.table import default_metric, metric
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelKind, LabelSpace
from benchmarks.detectors.clips import Clips, Place
from benchmarks.detectors.heads import PROBE
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import MODEL, TARGET_PRECISION
from benchmarks.with_labels.sounds import write_table

CHOSEN, PROTOTYPE = "chosen head", "prototype"
MIXTURES = "mixtures of ESC-10"
MIXED = 120  # mixtures of each fold
RATE, SECONDS, LEVELS = 32000, 5.0, (-6.0, 6.0)  # hertz; decibels of the second clip


def measure(place: Place, results: Results, task: str, heads: str = CHOSEN) -> None:
    """Score every fold by a detector that was made of the others: by the chosen head, by the probe, or by prototypes."""
    if results.have(part="calibration of all folds", heads=heads, task=task):  # the last result of a task
        return
    place.out.mkdir(parents=True, exist_ok=True)
    if task == MIXTURES:
        clips, kind = mixtures(place), "multilabel"
    else:
        clips, kind = place.clips(MODEL, task), "multiclass"
    answers = []
    for fold in map(int, np.unique(clips.folds)):
        path = place.out / f"calibration-{heads}-{task}-{fold}.npz"
        known = results.have(part="calibration", heads=heads, task=task, fold=fold)
        if not (known and path.is_file()):  # the scores of clips stand in the folder beside the results
            others = clips.rows(*(other for other in np.unique(clips.folds) if other != fold))
            learnt, test = clips.features.take(others), clips.features.take(clips.rows(fold))
            figures, arrays = scored(learnt, test, clips.classes, kind, heads)
            np.savez(path, **arrays)
            if not known:
                results.add(part="calibration", heads=heads, task=task, fold=fold, **figures)
        with np.load(path) as file:
            answers.append({name: file[name] for name in file.files})
    joined = {name: np.concatenate([arrays[name] for arrays in answers]) for name in answers[0]}
    errors = {name: error_of(joined[name], joined["truth"], kind) for name in ("before", "after")}
    pair = {"ece_before": errors["before"], "ece_after": errors["after"]}
    results.add(part="calibration of all folds", heads=heads, task=task, **pair)


def error_of(scores: np.ndarray, truth: np.ndarray, kind: LabelKind) -> float:
    """Return the expected calibration error: of the likeliest class, or of all answers about all classes."""
    return expected_calibration_error(
        *(top_label(scores, truth) if kind == "multiclass" else (scores.ravel(), truth.ravel()))
    )


def scored(
    learnt: LabelledFeatures, test: LabelledFeatures, classes: tuple[str, ...], kind: LabelKind, heads: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Make a detector as ``auricle finetune --target-precision`` does, and score it on the test clips.

    Returns:
        The figures, and the probabilities (n, C) of the test clips before and after calibration with the truth.
    """
    space, scored_by, folds = LabelSpace(kind, classes), metric(default_metric(kind), kind), inner_folds(learnt)
    if heads == PROBE:
        kept = try_head(FrozenHead("linear", 1.0), learnt, folds, kind, scored_by)
    elif heads == PROTOTYPE:
        kept = try_head(FrozenHead("prototype"), learnt, folds, kind, scored_by)
    else:
        kept = select_head(learnt, FROZEN_HEADS[:3], kind, scored_by).kept
    part = PartScores.of("train", learnt, kept.logits)
    decisions = decide([part], space, ThresholdGoal(target_precision=TARGET_PRECISION), len(np.unique(folds)))
    assert decisions is not None
    logits = logits_of(fit_head(kept.choice, learnt, kind), test)
    decided = decision_scores(decisions.space, logits) >= np.float32(decisions.space.thresholds)
    hits, count, positives = (int(x) for x in ((decided * test.targets).sum(), decided.sum(), test.targets.sum()))
    low, high = wilson_interval(hits, count)
    scores = {"before": probabilities(space, logits), "after": probabilities(decisions.space, logits)}
    figures = {
        "head": str(kept.choice),
        "calibration": decisions.scaling.kind,
        "score": float(metric(default_metric(kind), kind)(logits, test.targets)),
        "ece_before": error_of(scores["before"], test.targets, kind),
        "ece_after": error_of(scores["after"], test.targets, kind),
        "hits": hits,
        "decided": count,
        "positives": positives,
        "precision": hits / count if count else None,
        "low": low,
        "high": high,
        "recall": hits / positives,
    }
    return figures, {**scores, "truth": test.targets}


def mixtures(place: Place) -> Clips:
    """Mixtures of two clips of different classes of one fold, and single clips, with all their labels."""
    table = place.out / "mixtures.csv"
    if not table.is_file():
        write_table(mixed_rows(place, place.out / "mixtures"), table)
    manifest = read_manifest(table)
    classes = tuple(sorted({label for clip in manifest for label in clip.labels}))
    features, _ = read_features(manifest, place.encoder(MODEL), classes)
    folds = {clip.id: clip.fold for clip in manifest}
    return Clips(features, np.array([folds[id] for id in features.ids]), classes)


def mixed_rows(place: Place, folder: Path) -> list[dict[str, str]]:
    """Write the mixtures; a clip is in several, which are one group so that they are never divided."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, rows = place.manifest("ESC-10"), []
    for fold in range(1, 6):
        clips = [clip for clip in manifest if clip.fold == fold]
        draws = RandomKey(fold).of("mixtures")
        half = draws.permutation(len(clips))
        groups = np.array_split(half, 5)  # mixtures are made within a fifth of the fold
        for number in range(MIXED):
            group = groups[number % len(groups)]
            first, second = (clips[i] for i in draws.permutation(group)[:2])
            waves = [_loudness_one(read(manifest.audio(clip), rate=RATE).wave) for clip in (first, second)]
            wave = waves[0] + waves[1] * 10 ** (draws.uniform(*LEVELS) / 20) * (number % 3 > 0)
            path = folder / f"{fold}-{number}.wav"
            soundfile.write(path, 0.05 * wave, RATE, subtype="FLOAT")
            labels = {first.labels[0], *([second.labels[0]] if number % 3 else [])}
            row = {"path": str(path.resolve()), "label": ",".join(sorted(labels)), "fold": str(fold)}
            rows.append(row | {"group": f"{fold}-{number % len(groups)}"})
    return rows


def _loudness_one(wave: np.ndarray) -> np.ndarray:
    wave = np.pad(wave, (0, max(0, round(RATE * SECONDS) - len(wave))))[: round(RATE * SECONDS)]
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-6)
