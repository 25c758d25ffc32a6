"""What a task asks for: one class of targets per task kind, read from a manifest where it holds them. No PyTorch here.

Rows of targets are clips in the manifest's order, except for pairs (rows are pairs) and retrieval (rows are queries).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.label_cells import LabelNote
from auricle.data.manifest.manifest import Clip, Manifest, Segment
from auricle.metrics import table
from auricle.metrics.table import METRICS, TASK_KINDS, Metric, default_metric, metric_name


class Targets:
    """Base of the targets of every kind: how many rows, the truth of some rows, and the score of predictions.

    Attributes:
        kind: A key of ``TASK_KINDS``.
        metric: Name of the metric that scores predictions of these targets; "auto" for the first that applies to the kind.
    """

    kind: str
    metric: str

    def __len__(self) -> int:
        raise NotImplementedError

    def truth(self, rows: np.ndarray) -> Any:
        """Return the targets of some rows in the form that metrics of this kind take."""
        raise NotImplementedError

    @property
    def scored_by(self) -> Metric:
        """The metric. Raises AuricleError where the table has none that applies."""
        return table.metric(default_metric(self.kind) if self.metric == "auto" else self.metric, self.kind)

    def score(self, predictions: Any, rows: np.ndarray) -> float:
        """Return the metric of the predictions for ``rows``."""
        return self.scored_by(predictions, self.truth(rows))

    def merit(self, predictions: Any, rows: np.ndarray) -> float:
        """Return the score with the sign that makes larger values better: what a probe maximises on validation rows."""
        return self.scored_by.sign * self.score(predictions, rows)


@dataclass(frozen=True)
class ClassTargets(Targets):
    """Labels of clips. Predictions are scores (n, C), higher is likelier.

    Attributes:
        classes: Class names in the order of the columns.
        values: (n, C) float32 of 0 and 1.
        multilabel: False if every clip has exactly one label.
    """

    classes: tuple[str, ...]
    values: np.ndarray
    multilabel: bool = False
    metric: str = "auto"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.classes):
            raise AuricleError(f"targets of {len(self.classes)} classes need an array (n, C), got {self.values.shape}")
        counts = self.values.sum(1)
        if not self.multilabel and (counts != 1).any():
            row = int(np.flatnonzero(counts != 1)[0])
            raise AuricleError(f"a multiclass task needs {TASK_KINDS['multiclass']}; row {row} has {counts[row]:.0f}")
        if chosen := METRICS.get(metric_name(self.metric)):
            chosen.for_classes(self.classes)

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "multilabel" if self.multilabel else "multiclass"

    @property
    def index(self) -> np.ndarray:
        """(n,) class index of each clip of a multiclass task."""
        return self.values.argmax(1)

    def __len__(self) -> int:
        return len(self.values)

    def truth(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows]


@dataclass(frozen=True)
class EventTargets(Targets):
    """Labelled segments of clips.

    Attributes:
        classes: Class names, sorted or as the manifest's class list orders them.
        events: For each clip its segments; onset and offset in seconds from the start of the clip.
    """

    classes: tuple[str, ...]
    events: tuple[tuple[Segment, ...], ...]
    metric: str = "auto"
    kind = "events"

    def __post_init__(self) -> None:
        for row, segments in enumerate(self.events):
            for segment in segments:
                if not 0 <= segment.onset < segment.offset:
                    raise AuricleError(
                        f"event '{segment.label}' of row {row} runs from {segment.onset} to {segment.offset} s"
                    )
                if segment.label not in self.classes:
                    raise AuricleError(f"event label '{segment.label}' of row {row} is not one of the classes")

    def __len__(self) -> int:
        return len(self.events)

    def truth(self, rows: np.ndarray) -> list[tuple[Segment, ...]]:
        return [self.events[row] for row in rows]


@dataclass(frozen=True)
class SequenceTargets(Targets):
    """Token sequences of clips, such as the characters of a transcript.

    Attributes:
        vocabulary: The tokens as text; token i of a sequence is ``vocabulary[i]``.
        tokens: One (length,) int64 array per clip; lengths differ.
    """

    vocabulary: tuple[str, ...]
    tokens: tuple[np.ndarray, ...]
    metric: str = "auto"
    kind = "sequence"

    def __post_init__(self) -> None:
        for row, sequence in enumerate(self.tokens):
            if sequence.ndim != 1 or sequence.dtype.kind != "i":
                raise AuricleError(f"the token sequence of row {row} is not a vector of whole numbers")
            if len(sequence) and not 0 <= sequence.min() <= sequence.max() < len(self.vocabulary):
                raise AuricleError(f"row {row} holds a token outside the vocabulary of {len(self.vocabulary)}")

    def __len__(self) -> int:
        return len(self.tokens)

    def truth(self, rows: np.ndarray) -> list[np.ndarray]:
        return [self.tokens[row] for row in rows]


@dataclass(frozen=True)
class PairTargets(Targets):
    """Pairs of clips that are of the same source (speaker, species, device) or of different ones.

    Attributes:
        pairs: (id, id) of each pair.
        same: (n,) bool.
    """

    pairs: tuple[tuple[str, str], ...]
    same: np.ndarray
    metric: str = "auto"
    kind = "pairs"

    def __post_init__(self) -> None:
        if self.same.shape != (len(self.pairs),) or self.same.dtype != bool:
            raise AuricleError(
                f"{len(self.pairs)} pairs need as many truth values, got {self.same.dtype} {self.same.shape}"
            )
        if len(np.unique(self.same)) < 2:
            raise AuricleError("pairs need at least one that is the same and one that is different")

    def check_ids(self, ids: Collection[str]) -> None:
        """Raise AuricleError for a pair that names an unknown clip."""
        _check_ids((id for pair in self.pairs for id in pair), ids, "pair")

    def __len__(self) -> int:
        return len(self.pairs)

    def truth(self, rows: np.ndarray) -> np.ndarray:
        """(n, 1) of 0 and 1."""
        return self.same[rows, None].astype(np.float32)


@dataclass(frozen=True)
class RetrievalTargets(Targets):
    """Which items are relevant to each query.

    Attributes:
        queries: Ids of the query clips, q of them.
        items: Ids of the clips to be ranked, m of them.
        relevance: (q, m), 0 for irrelevant; every query has at least one relevant item.
    """

    queries: tuple[str, ...]
    items: tuple[str, ...]
    relevance: np.ndarray
    metric: str = "auto"
    kind = "retrieval"

    def __post_init__(self) -> None:
        wanted = (len(self.queries), len(self.items))
        if self.relevance.shape != wanted:
            raise AuricleError(
                f"the relevance of {wanted[0]} queries and {wanted[1]} items is {wanted}, not {self.relevance.shape}"
            )
        if not np.isfinite(self.relevance).all() or (self.relevance < 0).any():
            raise AuricleError("relevance must be finite and not negative")
        alone = np.flatnonzero(~(self.relevance > 0).any(1))
        if len(alone):
            raise AuricleError(f"{len(alone)} queries have no relevant item ('{self.queries[alone[0]]}' …)")

    def check_ids(self, ids: Collection[str]) -> None:
        """Raise AuricleError for a query or an item that names an unknown clip."""
        _check_ids((*self.queries, *self.items), ids, "query or item")

    def __len__(self) -> int:
        return len(self.queries)

    def truth(self, rows: np.ndarray) -> np.ndarray:
        return self.relevance[rows]


def targets_of(manifest: Manifest, kind: str = "auto", metric: str = "auto") -> Targets:
    """Read the targets of a manifest's clips.

    Args:
        manifest: The clips; their labels, events or transcripts are read.
        kind: A key of ``TASK_KINDS``; "auto" is multilabel where some clip has several labels, else multiclass.
        metric: A metric's name, or "auto" for the first one that applies to the kind.

    Raises:
        AuricleError: The manifest does not hold targets of this kind, or the metric does not apply to it.
    """
    if kind in ("auto", "multiclass", "multilabel"):
        targets: Targets = class_targets(manifest, kind, metric)
    elif kind == "events":
        targets = replace(event_targets(manifest), metric=metric)
    elif kind == "sequence":
        targets = replace(sequence_targets(manifest), metric=metric)
    elif kind in TASK_KINDS:
        raise AuricleError(
            f"a manifest holds no targets of kind '{kind}' ({TASK_KINDS[kind]}): make them from a list of ids"
        )
    else:
        raise AuricleError(f"unknown task kind '{kind}'; known: auto, {', '.join(TASK_KINDS)}")
    if metric != "auto":
        _ = targets.scored_by  # refuses a metric that does not apply
    return targets


def class_targets(manifest: Manifest, kind: str = "auto", metric: str = "auto") -> ClassTargets:
    """Read the labels of every clip as an array.

    Classes are in the order of the manifest's class list, else the sorted labels of the training part; classes that only
    other parts have are appended, sorted.
    """
    known = _known_classes(manifest)
    present = {label for clip in manifest for label in clip.labels}
    classes = known + tuple(sorted(present - set(known), key=_label_order(present)))
    values = label_matrix(manifest, classes)
    several = any(len(set(clip.labels)) > 1 for clip in manifest)
    return ClassTargets(classes, values, several if kind == "auto" else kind == "multilabel", metric)


def label_matrix(manifest: Manifest, classes: Sequence[str]) -> np.ndarray:
    """Return the labels of every clip, (n, C) float32 of 0 and 1. Every label must be one of ``classes``."""
    column = {name: i for i, name in enumerate(classes)}
    values = np.zeros((len(manifest), len(classes)), np.float32)
    for row, clip in zip(values, manifest):
        row[[column[label] for label in clip.labels]] = 1
    return values


def event_targets(manifest: Manifest) -> EventTargets:
    """Read the segments of every clip, cut to the clip; a clip without events has an empty tuple.

    Raises:
        AuricleError: No clip has an event.
    """
    events = tuple(_within_clip(clip) for clip in manifest)
    labels = {segment.label for segments in events for segment in segments}
    if not labels:
        raise AuricleError(f"none of the {len(manifest)} clips has events: the manifest needs an 'events' column")
    listed = manifest.classes or ()
    return EventTargets((*listed, *sorted(labels - set(listed), key=_label_order(labels))), events)


def _within_clip(clip: Clip) -> tuple[Segment, ...]:
    """The clip's segments in seconds from its start, without what lies outside of it."""
    start, end = clip.start or 0.0, np.inf if clip.end is None else clip.end
    cut = [Segment(max(s.onset, start) - start, min(s.offset, end) - start, s.label) for s in clip.events]
    return tuple(segment for segment in cut if segment.offset > segment.onset)


def sequence_targets(manifest: Manifest, unit: str = "characters") -> SequenceTargets:
    """Read the transcript of every clip as tokens.

    Args:
        manifest: Every clip must have a transcript.
        unit: "characters" or "words".

    Raises:
        AuricleError: A clip has no transcript, or the unit is unknown.
    """
    if unit not in ("characters", "words"):
        raise AuricleError(f"unknown unit '{unit}' of a transcript; known: characters, words")
    absent = [clip.id for clip in manifest if clip.transcript is None]
    if absent:
        raise AuricleError(
            f"{len(absent)} of {len(manifest)} clips have no transcript ('{absent[0]}' …): the manifest needs a 'transcript' column"
        )
    cut: Callable[[str], Sequence[str]] = list if unit == "characters" else str.split
    texts = [cut(clip.transcript or "") for clip in manifest]
    vocabulary = tuple(sorted({token for tokens in texts for token in tokens}))
    index = {token: i for i, token in enumerate(vocabulary)}
    return SequenceTargets(vocabulary, tuple(np.array([index[t] for t in tokens], np.int64) for tokens in texts))


MOST_TABLES = 3  # named in a message


def _where_labels_may_be(manifest: Manifest) -> str:
    """What the table lacks, if there is one; else which tables lie in the folder, and what else gives labels."""
    about_labels = [note for note in manifest.notes if isinstance(note, LabelNote)]
    if about_labels:
        return about_labels[0]
    advice = "give a table with --labels FILE.csv (--label-column NAME), or a folder with one subfolder per class"
    tables = sorted(str(path) for ending in ("*.csv", "*.tsv") for path in manifest.root.glob(ending))[:MOST_TABLES]
    return f"{advice}; tables there: {', '.join(tables)}" if tables else advice


def labelled(manifest: Manifest) -> Manifest:
    """Return the clips that have a label.

    Raises:
        AuricleError: No clip has a label, or all clips have the same one.
    """
    ids = [clip.id for clip in manifest if clip.labels]
    if not ids:
        raise AuricleError(f"none of the {len(manifest)} clips has a label: {_where_labels_may_be(manifest)}")
    classes = {label for clip in manifest for label in clip.labels}
    if len(classes) < 2:
        raise AuricleError(f"every clip has the same label '{classes.pop()}': a task needs at least two classes")
    return replace(manifest.select(ids=set(ids)), classes=_known_classes(manifest))


def _known_classes(manifest: Manifest) -> tuple[str, ...]:
    """The given class list, else the labels of the training part: sorted, whole numbers as numbers.

    Source: [evaluation 1.2](docs/specification/evaluation.md#s1-2).
    """
    return manifest.classes or tuple(sorted(manifest.label_classes(), key=_label_order(manifest.label_classes())))


def _label_order(labels: Collection[str]) -> Callable[[str], Any]:
    return int if all(map(str.isdecimal, labels)) else str


def _check_ids(wanted: Any, ids: Collection[str], what: str) -> None:
    unknown = sorted({id for id in wanted if id not in ids})
    if unknown:
        raise AuricleError(f"{len(unknown)} clips of a {what} are not in the manifest ('{unknown[0]}' …)")
