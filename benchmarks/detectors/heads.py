"""Which frozen head is best, with how many labels? Settings are chosen within the training part, as the product does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.detectors.features import LabelledFeatures
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.detectors.selection import best_of_kinds, can_be_validated, candidates, inner_folds, simplest, try_heads
from auricle.methods.supervised.detector_config import FROZEN_HEADS
from auricle.metrics.table import metric
from benchmarks.detectors.clips import Clips, Place, accuracy
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import DRAWS, FOLDS, MODEL, PER_CLASS, UNSEEN

PROBE = "probe"  # the reference: logistic regression with C = 1 on the last layer; nothing is chosen
AUTO = "auto"  # what the product keeps of all kinds that are tried
ATTENTIVE = "attentive"  # by itself: the product has no frames of stored clips, so that auto leaves it out
COUNTS = (*PER_CLASS, 0)  # 0: all labels


def measure(
    place: Place, results: Results, encoder: str, task: str, kinds: Sequence[str], counts: Sequence[int]
) -> None:
    """Score every kind of head on every held-out fold, for every number of labels and draw of them."""
    clips = place.clips(encoder, task, frames=ATTENTIVE in kinds)
    for count in counts:
        for folds, training in held_out(clips, encoder, task):
            for draw in range(1, DRAWS + 1) if count else (0,):
                names = {"encoder": encoder, "task": task, "per_class": count, "draw": draw}
                wanted = [kind for kind in kinds if not results.have(part="heads", head=kind, fold=folds[-1], **names)]
                if not wanted:
                    continue
                learnt = clips.features.take(few(clips, training, count, draw) if count else training)
                for kind, choice in chosen(wanted, learnt).items():
                    head = fit_head(choice, learnt, "multiclass")
                    for fold in folds:
                        test = clips.features.take(clips.rows(fold))
                        value = accuracy(logits_of(head, test), test.targets)
                        results.add(part="heads", head=kind, **names, fold=fold, chosen=str(choice), accuracy=value)


def held_out(clips: Clips, encoder: str, task: str) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield folds that are tested with the rows that are learnt from: one fold and all others, or those that the small encoder
    did not see and those that it learnt from."""
    every = FOLDS[task]
    for folds in ((fold,) for fold in every) if encoder == MODEL else (UNSEEN[task],):
        yield folds, clips.rows(*(other for other in every if other not in folds))


def few(clips: Clips, rows: np.ndarray, count: int, draw: int) -> np.ndarray:
    """Draw ``count`` rows of every class."""
    key, drawn = RandomKey(draw), list[int]()
    for c, name in enumerate(clips.classes):
        own = rows[clips.features.targets[rows, c] > 0]
        drawn += [int(own[i]) for i in key.of(f"labelled clips of {name}").permutation(len(own))[:count]]
    return np.array(sorted(drawn))


def chosen(kinds: Sequence[str], learnt: LabelledFeatures) -> dict[str, FrozenHead]:
    """Choose the settings of every kind by held-out folds of the training part; where none can be held out, the usual ones."""
    tried = [kind for kind in FROZEN_HEADS if kind in kinds or (AUTO in kinds and kind != ATTENTIVE)]
    heads, folds = candidates(tried, learnt), inner_folds(learnt)
    found = {PROBE: FrozenHead("linear", 1.0)}
    if can_be_validated(learnt, folds):
        trials = try_heads(heads, learnt, folds, "multiclass", metric("accuracy", "multiclass"))
        found |= {trial.choice.kind: trial.choice for trial in best_of_kinds(trials)}
        among = [trial for trial in trials if trial.choice.kind != ATTENTIVE]
        found |= {AUTO: simplest(among)[0].choice} if among else {}
    else:
        found |= {kind: FrozenHead(kind) for kind in tried} | {AUTO: FrozenHead("linear", 1.0)}
    return {kind: found[kind] for kind in kinds}
