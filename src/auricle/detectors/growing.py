"""Growing a detector: new labelled clips and classes beside those that it learnt from, whose features its run folder keeps.

The head is fitted again on all clips, so nothing is forgotten. Clips are of one recording if their embeddings are equal: its names
may differ, and two recordings may have one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.detectors.features import LabelledFeatures, load_features
from auricle.detectors.files import PartScores, load_description, load_scores
from auricle.hub.load import read_run
from auricle.hub.run_folder import RunFolder
from auricle.methods.supervised.clips import clip_of
from auricle.metrics.classification import average_precision
from auricle.models.base import Encoder
from auricle.models.label_space import LabelSpace
from auricle.models.merge import backbone_difference

ALIKE = 0.9999  # cosine of embeddings that may be of one recording
SAME = 2e-3  # relative difference of equal embeddings: they are kept in float16, whose step is 5e-4


@dataclass(frozen=True)
class KeptDetector:
    """A detector that grows: what its run folder keeps.

    Attributes:
        run: the run folder.
        encoder: with its head.
        space: the classes.
        features: of the clips that it learnt from.
        scores: held-out scores of these clips; None where none could be held out.
    """

    run: Path
    encoder: Encoder
    space: LabelSpace
    features: LabelledFeatures
    scores: PartScores | None

    @classmethod
    def open(cls, run: Path | str) -> KeptDetector:
        """Open a run folder.

        Raises:
            AuricleError: it is no detector's, its features were not kept, or they are those of another encoder.
        """
        folder = RunFolder.open(run)
        description = load_description(folder.path)
        if not folder.features.is_file():
            raise AuricleError(
                f"--from {run}: this run trained the whole network, so it keeps no features of its clips"
            )
        encoder = read_run(folder.path)
        space = encoder.info.label_space
        features, classes = load_features(folder.features)
        if space is None or classes != space.ids:
            raise AuricleError(
                f"{folder.features} is about other classes than {folder.encoder}; train the detector again"
            )
        if description.get("backbone", backbone_of(encoder)) != backbone_of(encoder):
            raise AuricleError(
                f"{folder.features} was computed by another encoder than the one in {folder.encoder}: the weights were replaced; "
                "train the detector again on all clips"
            )
        held = [part for part in load_scores(folder.path) if part.part == "train"]
        return cls(folder.path, encoder, space, features, held[0] if held else None)

    def check_encoder(self, encoder: Encoder, name: str) -> None:
        """Raise AuricleError, with what differs, unless an encoder gives the features that were kept."""
        if difference := backbone_difference(self.encoder, encoder):
            raise AuricleError(
                f"--from {self.run} and --model {name} do not have the same encoder: {difference}. The features that were kept are "
                f"of no use for another one: leave --model out, or train on all clips again"
            )

    def joined_space(self, space: LabelSpace) -> LabelSpace:
        """Return the classes of this detector, and behind them the new ones.

        Args:
            space: the classes of the new clips.

        Raises:
            AuricleError: one label a clip here, and any number there.
        """
        return joined_classes(self.space, space, str(self.run))


def joined_classes(old: LabelSpace, new: LabelSpace, run: str) -> LabelSpace:
    """Return the classes of a detector, and behind them those that only the new clips have.

    Raises:
        AuricleError: one label a clip here, and any number there.
    """
    if new.kind != old.kind:
        meaning = {"multiclass": "exactly one label a clip", "multilabel": "any number of labels a clip"}
        raise AuricleError(f"the detector {run} has {meaning[old.kind]}, the new clips have {meaning[new.kind]}")
    ids = (*old.ids, *(id for id in new.ids if id not in old.ids))
    background = tuple(id for id in ids if id in {*old.background, *new.background})
    return replace(LabelSpace(new.kind, ids), background=background)


def backbone_of(encoder: Encoder) -> str:
    """Return the fingerprint of an encoder without its head."""
    return encoder.without_head().fingerprint()


def limited_to_own_classes(
    features: LabelledFeatures, manifest: Manifest, training: Manifest, classes: Sequence[str]
) -> LabelledFeatures:
    """Return the features of new clips without claims about the detector's other classes.

    A clip with labels of which all classes are known was annotated with the classes of the new table, not with those of the old
    one. A clip without labels of which all classes are known holds none of them, old or new.

    Args:
        features: of the new clips, over all classes.
        manifest: these clips.
        training: the new clips that are learnt, whose labels are the classes of the new table.
        classes: all classes.
    """
    own = set(training.table.distinct("labels"))
    foreign = np.array([name not in own for name in classes])
    everything = {clip.id for clip in manifest if clip.known is None and clip.labels}
    rows = np.array([id in everything or clip_of(id) in everything for id in features.ids], bool)
    known = features.known.copy()
    known[np.ix_(rows, foreign)] = 0
    return replace(features, known=known)


@dataclass(frozen=True)
class Joined:
    """Old and new clips together.

    Attributes:
        features: of the new clips, then of the old ones.
        old_rows: rows of the old clips that stayed.
        kept: which of the old clips stayed, (n,) bool.
        notes: what was done with recordings that stand in both.
    """

    features: LabelledFeatures
    old_rows: np.ndarray
    kept: np.ndarray
    notes: tuple[str, ...]


def join(detector: KeptDetector, new: LabelledFeatures, space: LabelSpace) -> Joined:
    """Join the clips that a detector learnt from and new ones. Of a recording in both, the newer labels count.

    In multilabel spaces an old clip is known for the old classes only, and of a recording in both what the newer table does
    not know is taken from the older one.

    Args:
        detector: the detector.
        new: features of the new clips, over the classes of ``space``.
        space: all classes, the detector's first.

    Raises:
        AuricleError: the vectors have other widths.
    """
    old, count = widened(detector.features, space), len(new)
    widths = [[array.shape[1] for array in (features.clip, *features.layers)] for features in (old, new)]
    if widths[0] != widths[1]:
        raise AuricleError(f"the features of {detector.run} are {widths[0]} wide, those of the new clips {widths[1]}")
    twins = same_recordings(new.clip, old.clip)
    targets, known = new.targets.copy(), new.known.copy()
    changed = []
    for row, twin in twins:
        both = (new.known[row] > 0) & (old.known[twin] > 0)
        if (new.targets[row] != old.targets[twin])[both].any():
            changed.append(new.ids[row])
        if space.kind == "multilabel":
            missing = (known[row] == 0) & (old.known[twin] > 0)
            targets[row, missing], known[row, missing] = old.targets[twin, missing], 1
    stay = np.ones(len(old), bool)
    stay[[twin for _, twin in twins]] = False
    rest = with_other_names(old.take(np.flatnonzero(stay)), set(new.ids), detector.run.name)
    newer = replace(new, targets=targets, known=known)
    features = _stacked(newer, rest)
    return Joined(features, np.arange(count, len(features)), stay, _twin_notes(twins, changed))


def _twin_notes(twins: Sequence[tuple[int, int]], changed: Sequence[str]) -> tuple[str, ...]:
    if not twins:
        return ()
    both = len({twin for _, twin in twins})
    differ = f"; {len(changed)} of them with other labels, such as {changed[0]}" if changed else ""
    return (f"{both} of the detector's clips stand among the new ones too: the newer labels are taken{differ}",)


def widened(features: LabelledFeatures, space: LabelSpace) -> LabelledFeatures:
    """Return old features over more classes: of exclusive ones the new ones do not hold, of others nothing is known."""
    more = len(space) - features.targets.shape[1]
    nothing = np.zeros((len(features), more), np.float32)
    known = nothing + 1 if space.kind == "multiclass" else nothing
    return replace(
        features,
        targets=np.concatenate([features.targets, nothing], axis=1),
        known=np.concatenate([features.known, known], axis=1),
    )


def same_recordings(new: np.ndarray, old: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs (row of new, row of old) of equal embeddings (n, D) and (m, D)."""
    lengths = [np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12) for vectors in (new, old)]
    units = old / lengths[1]
    pairs = []
    for row, vector in enumerate(new):
        for twin in np.flatnonzero(units @ (vector / lengths[0][row]) > ALIKE):
            if np.abs(vector - old[twin]).max() <= SAME * max(np.abs(vector).max(), 1e-6):
                pairs.append((row, int(twin)))
    return pairs


def with_other_names(features: LabelledFeatures, taken: set[str], prefix: str) -> LabelledFeatures:
    """Return the features with a prefix before ids that other clips have."""
    ids = tuple(f"{prefix}: {id}" if id in taken else id for id in features.ids)
    groups = tuple(
        group if id == old else f"{prefix}: {group}" for id, old, group in zip(ids, features.ids, features.groups)
    )
    return replace(features, ids=ids, groups=groups)


def _stacked(first: LabelledFeatures, second: LabelledFeatures) -> LabelledFeatures:
    both = first, second
    names = ("seconds", "clip", "targets", "known")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in both]) for name in names}
    layers = tuple(np.concatenate(pair) for pair in zip(first.layers, second.layers))
    ids, groups = (*first.ids, *second.ids), (*first.groups, *second.groups)
    return LabelledFeatures(ids=ids, groups=groups, layers=layers, frames=None, **arrays)


def compared(detector: KeptDetector, joined: Joined, logits: np.ndarray, space: LabelSpace) -> dict[str, Any]:
    """Return held-out scores of the old classes on the old clips, before and after growing, as JSON values.

    Exclusive classes: the accuracy, and of each class the share of its clips that are right. Others: the average precision.

    Args:
        detector: before.
        joined: the clips.
        logits: (n, C) held-out, of ``joined.features``.
        space: the classes after growing.

    Returns:
        {} where nothing can be compared.
    """
    before = detector.scores
    if before is None or before.ids != detector.features.ids or not len(joined.old_rows):
        return {}
    old, new = before.logits[joined.kept], logits[joined.old_rows]
    return before_and_after(old, new, before.truth()[joined.kept], detector.space)


def before_and_after(old: np.ndarray, new: np.ndarray, truth: np.ndarray, space: LabelSpace) -> dict[str, Any]:
    """Return scores of the old classes on the same clips before and after growing, as JSON values; {} without clips of them.

    Args:
        old, new: logits (n, C) before and (n, C') after, whose first C columns are those of the old classes.
        truth: (n, C) of the old classes, NaN where not annotated.
        space: the old classes.
    """
    exclusive = space.kind == "multiclass"
    score, classes = _right if exclusive else _precision, {}
    for c, id in enumerate(space.ids):
        values = [score(scores, truth, c) for scores in (old, new)]
        if np.isfinite(values).all():
            classes[id] = {"clips": int(np.nansum(truth[:, c])), "before": values[0], "after": values[1]}
    if not classes:
        return {}
    means = [float(np.mean([of_class[when] for of_class in classes.values()])) for when in ("before", "after")]
    if exclusive:
        labels = truth.argmax(1)
        means = [float((scores.argmax(1) == labels).mean()) for scores in (old, new)]
    metric = "accuracy" if exclusive else "mAP"
    return {"clips": len(old), "metric": metric, "before": means[0], "after": means[1], "classes": classes}


def _right(logits: np.ndarray, truth: np.ndarray, c: int) -> float:
    """The share of the clips of class c for which it is the likeliest; NaN without clips."""
    rows = truth[:, c] == 1
    return float((logits[rows].argmax(1) == c).mean()) if rows.any() else float("nan")


def _precision(logits: np.ndarray, truth: np.ndarray, c: int) -> float:
    """The average precision of class c over the clips that were annotated; NaN without clips of it."""
    return average_precision(logits[:, c], truth[:, c])


def comparison_lines(growth: dict[str, Any]) -> list[str]:
    """Return what ``detector.json`` holds of growing as lines for people."""
    new = growth["new_classes"]
    lines = [
        f"grown from {growth['run']}: {growth['old_clips']} of its clips and {growth['new_clips']} new ones, "
        + (f"new classes {listed(new)}" if new else "no new class")
    ]
    scores = growth["scores"]
    if not scores:
        return [*lines, "the old classes cannot be compared: no held-out scores of the old clips"]
    lines.append(
        f"old classes on {scores['clips']} old clips, held out: {scores['metric']} {scores['before']:.4f} before, "
        f"{scores['after']:.4f} now"
    )
    shown = {id: (of["before"], of["after"]) for id, of in scores["classes"].items()}
    return [*lines, *(f"  {id}: {before:.4f} before, {after:.4f} now" for id, (before, after) in shown.items())]
