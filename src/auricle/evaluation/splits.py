"""Which clips train a probe and which test it: from the manifest's folds, splits or groups, or drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import TRAINING_SPLITS, Manifest
from auricle.evaluation.labels import Labels
from auricle.evaluation.task import FOLDINGS

VALIDATION_SPLITS = ("valid", "val", "validation", "dev", "development")
TEST_SPLITS = ("test", "testing", "eval", "evaluation")
DRAWN_FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """Rows of the manifest: train, valid (may be empty) and test."""

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def make_folds(manifest: Manifest, labels: Labels, folding: str = "auto", *, seed: int = 0) -> list[Fold]:
    """The folds of a labelled manifest.

    folds    every fold is held out once           split   train, valid and test as the manifest says
    groups   every group (speaker) is left out     drawn   five stratified folds that keep groups together, keyed by
             ``seed``
    auto     folds, else split, else groups; refused in words when the manifest has none of them

    Raises AuricleError when what the folding needs is missing.
    """
    if folding not in FOLDINGS:
        raise AuricleError(f"unknown folding '{folding}'; known: {', '.join(FOLDINGS)}")
    maker = _MAKERS[_automatic(manifest) if folding == "auto" else folding]
    folds = maker(manifest, labels, seed)
    for fold in folds:
        _check_trainable(fold, labels)
    return folds


def _automatic(manifest: Manifest) -> str:
    for folding, column in (("folds", "fold"), ("split", "split"), ("groups", "group")):
        if any(getattr(clip, column) is not None for clip in manifest):
            return folding
    raise AuricleError(
        "the manifest says nothing of training and test: it has no fold, split or group column; add one, name one with "
        "--group-column, or let five stratified folds be drawn with --folding drawn"
    )


def _by_fold(manifest: Manifest, labels: Labels, seed: int) -> list[Fold]:
    return _held_out(_column(manifest, "fold"), "fold")


def _by_group(manifest: Manifest, labels: Labels, seed: int) -> list[Fold]:
    return _held_out(_column(manifest, "group"), "group")


def _by_split(manifest: Manifest, labels: Labels, seed: int) -> list[Fold]:
    part = [(clip.split or "").lower() for clip in manifest]
    rows = [_where([p in names for p in part]) for names in (TRAINING_SPLITS, VALIDATION_SPLITS, TEST_SPLITS)]
    if not len(rows[0]) or not len(rows[2]):
        found = (
            ", ".join(f"'{name}' ({n} clips)" for name, n in sorted(Counter(part).items()) if name) or "no split at all"
        )
        raise AuricleError(f"--folding split needs clips with split train and test; the manifest has {found}")
    return [Fold("test", *rows)]


def _drawn(manifest: Manifest, labels: Labels, seed: int) -> list[Fold]:
    groups = [clip.group if clip.group is not None else f"clip {clip.id}" for clip in manifest]
    return _held_out(draw_folds(labels.targets, groups, DRAWN_FOLDS, seed), "fold")


_MAKERS: dict[str, Callable[[Manifest, Labels, int], list[Fold]]] = {
    "folds": _by_fold,
    "split": _by_split,
    "groups": _by_group,
    "drawn": _drawn,
}


def _column(manifest: Manifest, name: str) -> list[str | None]:
    values = [None if getattr(clip, name) is None else str(getattr(clip, name)) for clip in manifest]
    distinct = sorted({value for value in values if value is not None})
    if len(distinct) < 2:
        found = f"only {name} '{distinct[0]}'" if distinct else f"no {name} column"
        raise AuricleError(f"at least two {name}s are needed to hold one out; the manifest has {found}")
    return values


def _held_out(values: Sequence[str | None], what: str) -> list[Fold]:
    """One fold per distinct value; clips without a value belong to no part."""
    there = [value is not None for value in values]
    names = sorted({value for value in values if value is not None}, key=lambda v: (len(v) if v.isdigit() else 0, v))
    none = np.zeros(0, np.int64)
    test = {name: _where([value == name for value in values]) for name in names}
    return [Fold(f"{what} {name}", np.setdiff1d(_where(there), test[name]), none, test[name]) for name in names]


def draw_folds(targets: np.ndarray, groups: Sequence[str], folds: int, seed: int) -> list[str]:
    """A fold "1".."k" per row: groups stay whole, and every class is spread as evenly as they allow.

    Groups are taken largest first (equal ones in a keyed order); each goes where it leaves the classes most even.
    """
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), targets.shape[1]))
    np.add.at(counts, inverse, targets)
    order = RandomKey(seed).of("folds").permutation(len(names))
    order = order[np.argsort(-counts.sum(1)[order], kind="stable")]
    totals, share = np.zeros((folds, targets.shape[1])), counts.sum(0).clip(min=1)
    chosen = np.zeros(len(names), np.int64)
    for group in order:
        cost = ((totals / share) * (counts[group] > 0)).sum(1)  # how full each fold is of this group's classes
        chosen[group] = np.lexsort((totals.sum(1), cost))[0]
        totals[chosen[group]] += counts[group]
    return [str(fold + 1) for fold in chosen[inverse]]


def _check_trainable(fold: Fold, labels: Labels) -> None:
    if not len(fold.train) or not len(fold.test):
        raise AuricleError(
            f"{fold.name} has {len(fold.train)} training and {len(fold.test)} test clips; both must be some"
        )
    trained = np.flatnonzero(labels.targets[fold.train].sum(0))
    if len(trained) < 2:
        only = labels.classes[trained[0]] if len(trained) else "none"
        raise AuricleError(f"the training part of {fold.name} has one class only ({only}); a probe needs at least two")


def fold_notes(manifest: Manifest, labels: Labels, folds: Sequence[Fold]) -> list[str]:
    """What a reader of the score should know: leaking groups, classes never trained or tested, classes of one clip."""
    notes = [note for fold in folds for note in (_leak(manifest, fold), _absent(labels, fold)) if note]
    counts = labels.targets.sum(0)
    single = [name for name, n in zip(labels.classes, counts) if n == 1]
    if single:
        notes.append(f"{_some(single, 'class')} with a single clip: it cannot be both trained and tested")
    return notes


def _leak(manifest: Manifest, fold: Fold) -> str:
    group = np.array([clip.group or "" for clip in manifest])
    both = sorted(set(group[fold.train]) & set(group[fold.test]) - {""})
    if not both:
        return ""
    return (
        f"{_some(both, 'group')} in both the training and the test part of {fold.name}: the score is too good; "
        "--folding groups leaves each out"
    )


def _absent(labels: Labels, fold: Fold) -> str:
    trained, tested = (labels.targets[rows].any(0) for rows in (fold.train, fold.test))
    unlearnt = [name for name, t, s in zip(labels.classes, trained, tested) if s and not t]
    untested = [name for name, s in zip(labels.classes, tested) if not s]
    parts = []
    if unlearnt:
        parts.append(f"{_some(unlearnt, 'class')} absent from its training part (their clips count as wrong)")
    if untested:
        parts.append(f"{_some(untested, 'class')} absent from its test part (not scored there)")
    return f"{fold.name}: {'; '.join(parts)}" if parts else ""


def _some(names: Sequence[str], what: str) -> str:
    """'2 classes (cat, dog)'."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    many = what if len(names) == 1 else what + ("es" if what.endswith("s") else "s")
    return f"{len(names)} {many} ({', '.join(names[:4])}{more})"


def _where(mask: Sequence[bool]) -> np.ndarray:
    return np.flatnonzero(np.asarray(mask, dtype=bool))
