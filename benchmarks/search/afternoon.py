"""What reviewing saves: recall at precision 0.9 after 10, 20 and 40 answers, by the loop and by labelling clips of chance.

A person has one labelled clip of a sound, and answers ten questions at a time, from the labels of the data. Ways:

search: asks about the clips that ``auricle search`` ranks highest with the answers so far, and ranks as it does.
loop: the first ten are the eight nearest to the clip and two random ones; what ``auricle finetune`` makes of the answers then asks
  as ``auricle suggest`` does (doubtful and different ones, a fifth of them random) and ranks.
random: random clips; what ``auricle finetune`` makes of the answers ranks.
"+ negatives": ``auricle finetune`` also gets 100 random clips as ``--negatives``, without an answer; a few of them may be wrong.

Ranked are clips of folds and speakers that are never asked about. The functions are those of the commands; features are frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import auricle
from auricle.core.console import progress_bar
from auricle.detectors.features import LabelledFeatures, read_features
from auricle.detectors.frozen import select_head
from auricle.detectors.frozen_heads import fit_head, logits_of
from auricle.detectors.suggestions import doubts_of, random_rows, varied_rows
from auricle.index.search.nearest import NearestSpans
from auricle.index.search.relevance import NEAREST, background_rows, choose_method, linear, nearest_scores
from auricle.inference.decisions.calibration import probabilities
from auricle.metrics.table import metric
from auricle.models.label_space import LabelSpace
from benchmarks.detectors.settings import MODEL, WEIGHTS
from benchmarks.search.clips import two_thousand_digits
from benchmarks.small_scale.sounds import SPEAKERS, esc10

ANSWERS, ROUNDS = 10, 4
RANDOM_SHARE, NEAR = 0.2, 0.9  # as ``auricle suggest`` has them
UNANSWERED = 100  # clips that are taken for negatives
PRECISION = 0.9
HEADS = ("linear", "prototype")
NEGATIVES = " + negatives"
WAYS = ("search", "loop", "random", "loop" + NEGATIVES, "random" + NEGATIVES)
POOLS = ("with digits", "ESC-10 alone")
AFTER = (1, 2, 4)  # tens of answers in the tables
RESAMPLES = 2000
Ranking = Callable[[np.ndarray], np.ndarray]  # rows (m,) -> scores (m,), logits where a head learnt them


class Sounds:
    """Features of all clips, the class of each, and the fold (ESC-10: 1 to 5) or speaker (digits: 1 to 6)."""

    def __init__(self, shared: Path, pool: str):
        encoder = auricle.load(MODEL, weights=shared / WEIGHTS)
        manifests = [esc10(shared), *([two_thousand_digits(shared)] if pool == "with digits" else [])]
        self.asked = sorted({clip.labels[0] for clip in manifests[0]})
        parts, classes, folds = [], [], []
        for manifest in manifests:
            features, _ = read_features(manifest, encoder, sorted({clip.labels[0] for clip in manifest}))
            by_id = {clip.id: clip for clip in manifest}
            parts.append(features)
            for id in features.ids:
                clip = by_id[id]
                classes.append(clip.labels[0])
                folds.append(SPEAKERS.index(clip.group) + 1 if clip.group in SPEAKERS else clip.fold)
        self.clip = np.concatenate([part.clip for part in parts])
        self.ids = tuple(id for part in parts for id in part.ids)
        self.classes, self.folds = np.array(classes), np.array(folds)
        self.units = NearestSpans(np.arange(len(self.clip)), self.clip).units.rows(slice(None))

    def labelled(self, rows: np.ndarray, label: str) -> LabelledFeatures:
        """Return the features of rows with one class: there or not."""
        targets = (self.classes[rows] == label).astype(np.float32)[:, None]
        ids = tuple(self.ids[row] for row in rows)
        return LabelledFeatures(ids, ids, np.ones(len(rows)), self.clip[rows], (), targets, np.ones_like(targets))


def learnt(sounds: Sounds, label: str, answered: np.ndarray, negatives: np.ndarray) -> Ranking:
    """Fit the head that ``auricle finetune`` would choose. Without both kinds of clips nothing is learnt: as ``searched``."""
    rows = np.concatenate([answered, np.setdiff1d(negatives, answered)])
    features = sounds.labelled(rows, label)
    features.targets[len(answered) :] = 0
    if features.targets.min() == features.targets.max():
        return searched(sounds, label, answered, negatives)
    selection = select_head(features, HEADS, "multilabel", metric("mAP", "multilabel"))
    head = fit_head(selection.kept.choice, features, "multilabel")
    return lambda others: logits_of(head, sounds.labelled(others, label))[:, 0]


def searched(sounds: Sounds, label: str, answered: np.ndarray, pool: np.ndarray) -> Ranking:
    """Rank as ``auricle search`` does with the answers as examples."""
    right = sounds.classes[answered] == label
    like, unlike = sounds.units[answered[right]], sounds.units[answered[~right]]
    if choose_method(len(like), len(unlike)) == NEAREST:
        return lambda others: nearest_scores(sounds.units[others], like, unlike)
    unit = linear(like, unlike, sounds.units[pool[background_rows(len(pool))]]).unit
    return lambda others: sounds.units[others] @ unit


def asked_next(
    sounds: Sounds, way: str, ranking: Ranking, answered: np.ndarray, pool: np.ndarray, seed: int
) -> np.ndarray:
    """Choose the next rows of the pool to ask about."""
    unanswered = np.setdiff1d(pool, answered)
    if way.startswith("random"):
        return np.random.default_rng(seed).permutation(unanswered)[:ANSWERS]
    if way == "search":
        return unanswered[np.argsort(-ranking(unanswered), kind="stable")[:ANSWERS]]
    drawn = unanswered[random_rows(len(unanswered), round(RANDOM_SHARE * ANSWERS), seed)]
    left, wanted = np.setdiff1d(unanswered, drawn), ANSWERS - len(drawn)
    if len(answered) == 1:
        chosen = np.argsort(-ranking(left), kind="stable")[:wanted]
    else:
        space = LabelSpace("multilabel", ("asked",))
        doubt = doubts_of(probabilities(space, ranking(left)[:, None]), space).doubt
        others = sounds.units[np.concatenate([answered, drawn])]
        chosen = varied_rows(doubt, sounds.units[left], wanted, near=NEAR, apart_from=others)
    return np.concatenate([left[chosen], drawn])


def recall_at_precision(scores: np.ndarray, right: np.ndarray) -> float:
    """Return the largest recall over all thresholds whose detections are right in nine of ten cases; 0 without one."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    ends = np.append(np.diff(scores[order]) != 0, True)  # a threshold does not divide equal scores
    precise = ends & (hits / np.arange(1, len(hits) + 1) >= PRECISION)
    return float(hits[precise].max(initial=0) / right.sum())


def course(sounds: Sounds, way: str, label: str, fold: int, start: int) -> list[float]:
    """Return the recall after 0, 10, 20, 30 and 40 answers."""
    is_digit = np.array([name.isdigit() for name in sounds.classes])
    tested = np.where(
        is_digit, np.isin(sounds.folds, (fold, fold % 6 + 1)), np.isin(sounds.folds, (fold, fold % 5 + 1))
    )
    pool, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    seed = 1000 * fold + 10 * start + sounds.asked.index(label)
    random = np.random.default_rng(seed)
    answered = random.permutation(pool[sounds.classes[pool] == label])[start : start + 1]
    negatives = random.permutation(pool)[: UNANSWERED if way.endswith(NEGATIVES) else 0]
    recalls, ranking = [], searched(sounds, label, answered, pool)
    for number in range(ROUNDS + 1):
        recalls.append(recall_at_precision(ranking(test), sounds.classes[test] == label))
        if number < ROUNDS:
            answered = np.concatenate([answered, asked_next(sounds, way, ranking, answered, pool, seed + 7 * number)])
            if way == "search":
                ranking = searched(sounds, label, answered, pool)
            else:
                ranking = learnt(sounds, label, answered, negatives)
    return recalls


def measure(shared: Path, out: Path, pools: list[str], starts: int) -> None:
    """Print tables of means with 95 % intervals over courses, and of each class; the courses go to OUT/afternoon-POOL.json."""
    out.mkdir(parents=True, exist_ok=True)
    for pool in pools:
        sounds, kept = Sounds(shared, pool), dict[str, dict[str, list]]()
        for label in progress_bar(sounds.asked, total=len(sounds.asked), what=pool):
            for way in WAYS:
                kept.setdefault(way, {})[label] = [
                    course(sounds, way, label, fold, start) for fold in range(1, 6) for start in range(starts)
                ]
            (out / f"afternoon-{pool.replace(' ', '-')}.json").write_text(json.dumps(kept), encoding="utf-8")
        print(table(pool, kept), "\n", flush=True)


def table(pool: str, kept: dict[str, dict[str, list]]) -> str:
    """Return the tables of a pool: of all classes with intervals, the differences of ways, and each class after 10 and 40."""
    every = {way: np.array(list(kept[way].values())) for way in WAYS}  # (classes, courses, rounds)
    lines = [f"| {pool} | 0 answers | " + " | ".join(f"{10 * n} answers" for n in AFTER) + " |", "|---|" + "---:|" * 4]
    for way in WAYS:
        lines.append(f"| {way} | " + " | ".join(_with_interval(every[way][:, :, n]) for n in (0, *AFTER)) + " |")
    for way, other in (("search", "random"), ("loop", "random"), ("loop" + NEGATIVES, "random" + NEGATIVES)):
        better = every[way] - every[other]
        cells = " | ".join(_with_interval(better[:, :, n]) for n in (0, *AFTER))
        lines.append(f"| {way} less {other} | {cells} |")
    lines += ["", "| class | " + " | ".join(f"{way}, {10 * n}" for n in (1, 4) for way in WAYS) + " |"]
    lines.append("|---|" + "---:|" * (2 * len(WAYS)))
    for c, label in enumerate(kept["loop"]):
        cells = [f"{100 * every[way][c, :, n].mean():.0f}" for n in (1, 4) for way in WAYS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_interval(values: np.ndarray) -> str:
    """Mean of (classes, courses) in percent, with the interval of resampled classes and courses within them."""
    random = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        classes = random.integers(0, len(values), len(values))
        means.append(values[classes[:, None], random.integers(0, values.shape[1], values.shape)].mean())
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{100 * values.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"
