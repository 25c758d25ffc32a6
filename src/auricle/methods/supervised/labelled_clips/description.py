"""What was understood of labelled clips, before anything is learnt: classes, parts and how they were made, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from auricle.core.console import listed, number_of
from auricle.data.manifest.columns import ListColumn
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.methods.supervised.labelled_clips.windows import text_of_seconds
from auricle.models.label_space import LabelSpace

SHOWN = 12  # classes that are listed
UNEVEN = 10  # times the median of the other classes, from which on a class with more clips is pointed out
MEANING = {"multiclass": "exactly one a clip", "multilabel": "any number a clip"}


@dataclass(frozen=True)
class PartDescription:
    """Clips of a part, their length together in seconds, their groups and events, and the clips of each class."""

    clips: int
    seconds: float
    groups: int
    events: int
    classes: dict[str, int]


@dataclass(frozen=True)
class DataDescription:
    """What was understood of labelled clips.

    Attributes:
        kind: "multiclass" or "multilabel"; "" where labels are not learnt.
        reason: why.
        classes: in the order of the logits.
        background: classes that are trained and never reported.
        seconds: length of a training clip.
        frames: frames of a training clip that have labels of their own; 0: clips have labels.
        parts: by name: train, validation, test.
        origin: how the parts were made.
        notes: what was done, and what is missing.
    """

    kind: str
    reason: str
    classes: tuple[str, ...]
    background: tuple[str, ...]
    seconds: float
    frames: int
    parts: dict[str, PartDescription]
    origin: str
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the description for people, in a few lines however many classes there are."""
        meaning = f"any number in each of {self.frames} frames a clip" if self.frames else MEANING.get(self.kind, "")
        because = f": {self.reason}" if self.reason else ""
        labels = (
            f"{number_of(len(self.classes), 'class')} ({meaning}{because})" if self.classes else "labels are not used"
        )
        lines = [f"{labels}, clips of {self.seconds:.4g} s"]
        if self.background:
            lines.append(
                f"background: {listed(self.background, SHOWN)}: trained as none of the others, never reported (--background "
                "none: an ordinary class)"
            )
        lines += [self._part(name) for name in ("train", "validation", "test")]
        return [*lines, *([f"parts: {self.origin}"] if self.origin else []), *self.notes]

    def _part(self, name: str) -> str:
        part = self.parts.get(name)
        if part is None:
            return f"{name}: none"
        events = f" with {number_of(part.events, 'event')}" if self.frames else ""
        groups = f" of {number_of(part.groups, 'group')}" if part.groups else ""
        length = f", {text_of_seconds(part.seconds)}" if part.seconds > 0 else ""
        counts = listed([f"{label} {part.classes[label]}" for label in self.classes], SHOWN)
        return f"{name}: {number_of(part.clips, 'clip')}{events}{groups}{length}{': ' if counts else ''}{counts}"

    def as_json(self) -> dict[str, Any]:
        """Return the description as JSON values."""
        return asdict(self)


def describe(
    parts: Parts,
    classes: Sequence[str],
    *,
    seconds: float,
    space: LabelSpace | None = None,
    reason: str = "",
    frames: int = 0,
    growing: bool = False,
) -> DataDescription:
    """Describe labelled clips.

    Args:
        parts: the clips.
        classes: that are learnt, as the labels spell them; () none.
        seconds: length of a training clip.
        space: the classes of the logits.
        reason: why clips have one label or any number.
        frames: frames of a clip that have labels of their own.
        growing: they are learnt together with earlier clips, so that few of a class are no lack.
    """
    described = {name: _part(part, classes) for name, part in parts.present.items()}
    lacking = [] if growing else [*_missing(described, classes), *_uneven(described, classes)]
    notes = [*parts.notes, *lacking]
    if parts.left_out:
        notes.append(f"{parts.left_out} recordings cannot be opened and are left out")
    kind, background = ("", ()) if space is None or not classes else (space.kind, space.background)
    return DataDescription(
        kind, reason, tuple(classes), background, seconds, frames, described, parts.origin, tuple(notes)
    )


def _part(manifest: Manifest, classes: Sequence[str]) -> PartDescription:
    column = manifest.table.columns.get("labels")
    counts = Counter(column.frequencies() if isinstance(column, ListColumn) else {})
    events = sum(len(events) for events in manifest.table.values("events")) if "events" in manifest.table.columns else 0
    return PartDescription(
        len(manifest),
        round(float(np.nansum(manifest.table.seconds())), 3),
        len([group for group in manifest.table.distinct("group") if group is not None]),
        events,
        {name: counts[name] for name in classes},
    )


def _missing(parts: dict[str, PartDescription], classes: Sequence[str]) -> list[str]:
    """Return notes about classes with too few clips."""
    totals = {name: sum(part.classes[name] for part in parts.values()) for name in classes}
    notes = []
    if single := [name for name in classes if totals[name] == 1]:
        one = "1 class has a single clip" if len(single) == 1 else f"{len(single)} classes have a single clip each"
        notes.append(f"{one}, which cannot be learnt and tested: {listed(single, SHOWN)}")
    for name, verb in (("train", "learn from"), ("validation", "validate"), ("test", "test")):
        part = parts.get(name)
        lacking = [label for label in classes if totals[label] != 1 and part is not None and not part.classes[label]]
        if lacking and part is not None:
            few = "1 class has" if len(lacking) == 1 else f"{len(lacking)} classes have"
            notes.append(f"{few} no clip to {verb}: {listed(lacking, SHOWN)}")
    return notes


def _uneven(parts: dict[str, PartDescription], classes: Sequence[str]) -> list[str]:
    """Return a note if one class has most of the training clips."""
    counts = parts["train"].classes
    most = max(classes, key=lambda name: counts[name], default=None)
    others = sorted(counts[name] for name in classes if name != most and counts[name])
    if most is None or not others or counts[most] < UNEVEN * (median := others[len(others) // 2]):
        return []
    return [
        f"{most} has {counts[most]} training clips, the median of the other classes {median}: in training, --sampling balanced or "
        "--class-weights balanced lets them count alike"
    ]
