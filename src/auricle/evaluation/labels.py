"""What is to be predicted: the labels of a manifest as numbers, and how much of the manifest they cover."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class Labels:
    """classes in order; targets (n, C) float32 of 0 and 1, in the order of the clips; multilabel: some clip has
    several."""

    classes: tuple[str, ...]
    targets: np.ndarray
    multilabel: bool

    @property
    def index(self) -> np.ndarray:
        """(n,) class index of each clip of a single-label task."""
        return self.targets.argmax(1)


@dataclass(frozen=True)
class Coverage:
    """How much of the manifest a score speaks of: clips in all, without a label, unreadable, in no fold, and tested."""

    clips: int
    unlabelled: int
    failed: int
    left_out: int
    tested: int

    def __str__(self) -> str:
        rest = {"without a label": self.unlabelled, "unreadable": self.failed, "in no part": self.left_out}
        said = [f"{n} {what}" for what, n in rest.items() if n]
        return f"{self.tested} of {self.clips} clips tested" + (f" ({', '.join(said)})" if said else "")


def labelled(manifest: Manifest) -> Manifest:
    """The clips that have a label. Raises AuricleError when none has, or when there is only one class."""
    clips = [clip.id for clip in manifest if clip.labels]
    if not clips:
        raise AuricleError(
            f"none of the {len(manifest)} clips has a label: give a table with --labels FILE.csv (--label-column NAME)"
            ", or a folder with one subfolder per class"
        )
    classes = {label for clip in manifest for label in clip.labels}
    if len(classes) < 2:
        raise AuricleError(
            f"every clip has the same label '{classes.pop()}': at least two classes are needed to tell apart"
        )
    return replace(manifest.select(ids=set(clips)), classes=_known(manifest))


def _known(manifest: Manifest) -> tuple[str, ...]:
    """The given class list, else the labels of the training part: sorted, whole numbers as numbers (evaluation 1.2)."""
    return manifest.classes or tuple(sorted(manifest.label_classes(), key=_order(manifest.label_classes())))


def _order(labels: Collection[str]) -> Callable[[str], Any]:
    return int if all(map(str.isdecimal, labels)) else str


def labels_of(manifest: Manifest) -> Labels:
    """Class order as the manifest's list, else the training part's labels, sorted; classes that only other parts have are
    appended, sorted."""
    known = _known(manifest)
    found = {label for clip in manifest for label in clip.labels}
    classes = known + tuple(sorted(found - set(known), key=_order(found)))
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(manifest), len(classes)), np.float32)
    for row, clip in zip(targets, manifest):
        row[[column[label] for label in clip.labels]] = 1
    return Labels(classes, targets, multilabel=any(len(set(clip.labels)) > 1 for clip in manifest))
