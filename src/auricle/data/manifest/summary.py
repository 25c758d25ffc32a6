"""What was understood of a source: clips, classes with their counts, one label per clip or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auricle.data.manifest.columns import CategoryColumn, ListColumn
from auricle.data.manifest.manifest import Manifest

SHOWN = 12  # classes that are listed


@dataclass(frozen=True)
class ManifestSummary:
    """What a manifest holds.

    Attributes:
        kind: ``"unlabelled"``, ``"single label"`` or ``"multi-label"``.
        clips: Number of clips.
        labelled: Clips with a label.
        several: Clips with more than one label.
        classes: Number of clips of every class, in the order of the classes.
        events: Number of labelled events.
        splits, folds, groups: Number of different ones.
    """

    kind: str
    clips: int
    labelled: int
    several: int
    classes: dict[str, int]
    events: int = 0
    splits: int = 0
    folds: int = 0
    groups: int = 0

    def __str__(self) -> str:
        """ "400 clips, 10 classes, single label (dog 40, rain 40, …), 5 folds"."""
        parts = [_count(self.clips, "clip")]
        if self.labelled:
            parts.append(f"{_count(len(self.classes), 'class')}, {self.kind} ({self._counts()})")
        else:
            parts.append("no labels")
        if self.labelled and self.labelled < self.clips:
            parts.append(f"{self.clips - self.labelled} without a label")
        parts += [
            _count(number, word)
            for number, word in (
                (self.events, "event"), (self.splits, "split"), (self.folds, "fold"), (self.groups, "group"),
            )
            if number
        ]  # fmt: skip
        return ", ".join(parts)

    def _counts(self) -> str:
        """List all classes, or the most and the least frequent ones."""
        names = list(self.classes)
        if len(names) <= SHOWN:
            return ", ".join(f"{name} {self.classes[name]}" for name in names)
        ordered = sorted(names, key=lambda name: -self.classes[name])
        most = ", ".join(f"{name} {self.classes[name]}" for name in ordered[: SHOWN - 2])
        return f"{most}, …, {ordered[-1]} {self.classes[ordered[-1]]}"


def _count(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def summarise(manifest: Manifest) -> ManifestSummary:
    """Count the clips, classes, events and parts of a manifest."""
    table = manifest.table
    labels = table.columns.get("labels")
    classes = dict.fromkeys(manifest.label_classes(), 0)
    labelled = several = 0
    if isinstance(labels, ListColumn):
        counts = labels.counts()
        labelled, several = int((counts > 0).sum()), int((counts > 1).sum())
        classes |= labels.frequencies()
    kind = "multi-label" if several else "single label" if labelled else "unlabelled"
    return ManifestSummary(
        kind, len(manifest), labelled, several, classes, _events(table.columns.get("events")),
        *(len([value for value in table.distinct(name) if value is not None]) for name in ("split", "fold", "group")),
    )  # fmt: skip


def _events(column: Any) -> int:
    if not isinstance(column, CategoryColumn):
        return 0
    lengths = np.array([len(events) for events in column.categories])
    return int(lengths[column.codes].sum())
