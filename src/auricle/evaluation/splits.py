"""Which clips train a probe and which test it: from the manifest's folds, splits or groups, or drawn. No PyTorch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest, draw_folds
from auricle.evaluation.targets import ClassTargets, Targets

SPLIT_BY = ("auto", "folds", "split", "groups", "drawn")
DRAWN_FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Rows of the targets that train, validate and test.

    Attributes:
        name: "fold 1", "group anna", "test".
        train: (n,) row indices.
        valid: (n,) row indices; may be empty.
        test: (n,) row indices.
        groups: For every row of the targets the group that must not be divided when a probe splits ``train`` again; ()
            if every row is its own group.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    groups: tuple[str, ...] = ()


NO_ROWS = np.zeros(0, np.int64)


def make_splits(manifest: Manifest, targets: Targets, split_by: str = "auto", *, seed: int = 0) -> list[Split]:
    """Split labelled clips.

    Args:
        manifest: The clips, in the order of the targets' rows.
        targets: What is to be predicted; drawn folds spread its classes evenly.
        split_by: "folds" holds every fold out once; "split" uses the train, valid and test part of the manifest;
            "groups" leaves every group (speaker) out once; "drawn" draws five stratified folds that keep groups together;
            "auto" is the first of folds, split and groups that holds clips out, else drawn.
        seed: Key of the drawn folds.

    Raises:
        AuricleError: The manifest lacks what ``split_by`` needs, or a training part has only one class.
    """
    if split_by not in SPLIT_BY:
        raise AuricleError(f"unknown --split-by '{split_by}'; known: {', '.join(SPLIT_BY)}")
    maker = _MAKERS[_automatic(manifest) if split_by == "auto" else split_by]
    groups = _groups(manifest)
    splits = [replace(split, groups=groups) for split in maker(manifest, targets, seed)]
    for split in splits:
        if reason := why_unusable(split, targets):
            raise AuricleError(reason)
    return splits


def _groups(manifest: Manifest) -> tuple[str, ...]:
    """The group of every clip; a clip without one, and every clip where all have the same, is its own."""
    groups = tuple(clip.group if clip.group is not None else f"clip {clip.id}" for clip in manifest)
    return groups if len(set(groups)) > 1 else tuple(f"clip {id}" for id in manifest.ids)


def _automatic(manifest: Manifest) -> str:
    """The first of folds, split and groups by which something can be held out, else "drawn"."""
    present = {name: _present(manifest, name) for name in ("fold", "split", "group")}
    if len(present["fold"]) > 1:
        return "folds"
    parts = {name.lower() for name in present["split"]}
    if parts & set(TRAINING_SPLITS) and parts & set(TEST_SPLITS):
        return "split"
    return "groups" if 1 < len(present["group"]) < len(manifest) else "drawn"


def _present(manifest: Manifest, column: str) -> list[str]:
    """The distinct values of a column, sorted."""
    return sorted(str(value) for value in manifest.table.distinct(column) if value is not None)


def drawn_note(manifest: Manifest, split_by: str, splits: Sequence[Split]) -> str:
    """Return the note on folds that were drawn because the manifest has none; "" where it says how to split."""
    if split_by != "auto" or _automatic(manifest) != "drawn":
        return ""
    folds, parts = _present(manifest, "fold"), _present(manifest, "split")
    found = [f"only fold {folds[0]}"] if folds else []
    found += [f"no train and test part (only '{', '.join(parts[:4])}')"] if parts else []
    groups = len(set(splits[0].groups))
    whole = f"; {groups} groups were kept whole" if groups < len(manifest) else ""
    return (
        f"the clips come with {' and '.join(found) or 'no folds, split or groups'}: {len(splits)} stratified folds were drawn "
        f"(the same every time{whole}); --split-by and --group-column choose others"
    )


def _by_fold(manifest: Manifest, targets: Targets, seed: int) -> list[Split]:
    return _held_out(_column(manifest, "fold"), "fold")


def _by_group(manifest: Manifest, targets: Targets, seed: int) -> list[Split]:
    return _held_out(_column(manifest, "group"), "group")


def _by_split(manifest: Manifest, targets: Targets, seed: int) -> list[Split]:
    train, valid, test = (
        _where(manifest.in_splits(names)) for names in (TRAINING_SPLITS, VALIDATION_SPLITS, TEST_SPLITS)
    )
    if not len(train) or not len(test):
        counts = sorted(Counter(clip.split.lower() for clip in manifest if clip.split).items())
        present = ", ".join(f"'{name}' ({n} clips)" for name, n in counts) or "no split at all"
        raise AuricleError(f"--split-by split needs clips with split train and test; the manifest has {present}")
    return [Split("test", train, valid, test)]


def _drawn(manifest: Manifest, targets: Targets, seed: int) -> list[Split]:
    values = targets.values if isinstance(targets, ClassTargets) else np.ones((len(targets), 1))
    return _held_out(draw_folds(values, _groups(manifest), DRAWN_FOLDS, seed), "fold")


_MAKERS: dict[str, Callable[[Manifest, Targets, int], list[Split]]] = {
    "folds": _by_fold,
    "split": _by_split,
    "groups": _by_group,
    "drawn": _drawn,
}


def _column(manifest: Manifest, name: str) -> list[str | None]:
    values = [None if getattr(clip, name) is None else str(getattr(clip, name)) for clip in manifest]
    distinct = sorted({value for value in values if value is not None})
    if len(distinct) < 2:
        present = f"only {name} '{distinct[0]}'" if distinct else f"no {name} column"
        raise AuricleError(f"at least two {name}s are needed to hold one out; the manifest has {present}")
    return values


def _held_out(values: Sequence[str | None], what: str) -> list[Split]:
    """One split per distinct value; clips without a value belong to no part."""
    present = _where([value is not None for value in values])
    names = sorted({value for value in values if value is not None}, key=lambda v: (len(v) if v.isdigit() else 0, v))
    test = {name: _where([value == name for value in values]) for name in names}
    return [Split(f"{what} {name}", np.setdiff1d(present, test[name]), NO_ROWS, test[name]) for name in names]


def why_unusable(split: Split, targets: Targets) -> str:
    """Return why a probe cannot be trained and tested on a split; "" where it can."""
    if not len(split.train) or not len(split.test):
        return f"{split.name} has {len(split.train)} training and {len(split.test)} test clips; each part needs at least one"
    if isinstance(targets, ClassTargets):
        trained = np.flatnonzero(targets.values[split.train].sum(0))
        if len(trained) < 2:
            only = targets.classes[trained[0]] if len(trained) else "none"
            return f"the training part of {split.name} has one class only ({only}); a probe needs at least two"
    return ""


def split_notes(manifest: Manifest, targets: ClassTargets, splits: Sequence[Split]) -> list[str]:
    """List what weakens a score: leaking groups, classes without training or test clips, classes of one clip."""
    notes = [note for split in splits for note in (_leak(manifest, split), _absent(targets, split)) if note]
    counts = targets.values.sum(0)
    single = [name for name, n in zip(targets.classes, counts) if n == 1]
    if single:
        notes.append(f"{_some(single, 'class')} with a single clip: it cannot be both trained and tested")
    return notes


def _leak(manifest: Manifest, split: Split) -> str:
    group = np.array([clip.group or "" for clip in manifest])
    both = sorted(set(group[split.train]) & set(group[split.test]) - {""})
    if not both:
        return ""
    return (
        f"{_some(both, 'group')} in both the training and the test part of {split.name}: the score is too good; "
        "--split-by groups leaves each out"
    )


def _absent(targets: ClassTargets, split: Split) -> str:
    trained, tested = (targets.values[rows].any(0) for rows in (split.train, split.test))
    unlearnt = [name for name, t, s in zip(targets.classes, trained, tested) if s and not t]
    untested = [name for name, s in zip(targets.classes, tested) if not s]
    parts = []
    if unlearnt:
        parts.append(f"{_some(unlearnt, 'class')} absent from its training part (their clips count as wrong)")
    if untested:
        parts.append(f"{_some(untested, 'class')} absent from its test part (not scored there)")
    return f"{split.name}: {'; '.join(parts)}" if parts else ""


def _some(names: Sequence[str], what: str) -> str:
    """Count and name, as in "2 classes (cat, dog)"."""
    many = what if len(names) == 1 else what + ("es" if what.endswith("s") else "s")
    return f"{len(names)} {many} ({listed(names, 4)})"


def _where(mask: Sequence[bool] | np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.asarray(mask, dtype=bool))
