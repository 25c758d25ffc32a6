"""Growing a run that trained the whole network: its earlier clips and the new ones in one table, and its scores before and after.

A network that learns new clips alone forgets the old ones, so those that still exist are learnt again with them (replay).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auricle.data.manifest.manifest import Clip, Manifest
from auricle.detectors.files import PartScores
from auricle.detectors.growing import before_and_after
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.models.label_space import LabelSpace

SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # of parts as ``Parts.present`` names them


@dataclass(frozen=True)
class Replay:
    """New and earlier clips together.

    Attributes:
        clips: with split, absolute paths and the class list of ``space``.
        new, old: numbers of the clips; lost: earlier ones whose recording is gone; twice: earlier ones that the new clips hold.
    """

    clips: Manifest
    new: int
    old: int
    lost: int
    twice: int

    def message(self, run: str) -> str:
        """Return a sentence for people."""
        more = [f"{self.lost} are gone"] if self.lost else []
        more += [f"of {self.twice} the newer labels are taken"] if self.twice else []
        return f"{self.new} new clips and {self.old} earlier ones of {run} are learnt together" + (
            f" ({', '.join(more)})" if more else ""
        )


def prefix_of(run: Path | str) -> str:
    """Return what stands before the ids of the earlier clips of a run."""
    return f"{Path(run).name}: "


def joined_clips(new: Parts, old: Parts | None, old_space: LabelSpace, space: LabelSpace, run: Path | str) -> Replay:
    """Join the parts of new and of earlier clips; each clip stays in the part that it was in.

    In multilabel spaces an earlier clip is known for the old classes only, and a labelled new one for the classes of its table.

    Args:
        new: the new clips; old: those of the run; None where its table is gone.
        old_space: the classes of the run; space: all classes, those first.
        run: its folder.
    """
    own = sorted(new.train.table.distinct("labels"))
    multilabel, clips, places, lost, twice = space.kind == "multilabel", list[Clip](), set[Any](), 0, 0
    for clip in _placed(new):
        known = tuple(own) if multilabel and clip.known is None and clip.labels else clip.known
        clips.append(replace(clip, known=known if multilabel else None))
        places.add((clip.path, clip.start, clip.end))
    count = len(clips)
    for clip in () if old is None else _placed(old):
        if (clip.path, clip.start, clip.end) in places:
            twice += 1
        elif clip.path is None or not os.path.isfile(clip.path):
            lost += 1
        else:
            known = tuple(clip.known or old_space.ids) if multilabel else None
            clips.append(replace(clip, id=prefix_of(run) + clip.id, known=known))
    return Replay(Manifest(tuple(clips), classes=space.ids), count, len(clips) - count, lost, twice)


def _placed(parts: Parts) -> Iterator[Clip]:
    """Yield the clips of all parts with their split and absolute paths."""
    for name, part in parts.present.items():
        for clip in part:
            path = None if clip.path is None else os.path.abspath(part.audio(clip))
            yield replace(clip, path=path, split=SPLITS[name], fold=None)


def growth_of(
    run: Path | str,
    before: list[PartScores],
    after: list[PartScores],
    old_space: LabelSpace,
    space: LabelSpace,
    clips: Manifest,
) -> dict[str, Any]:
    """Return what ``detector.json`` holds of growing: the old classes on the held-out clips of the run, before and after.

    Args:
        run: the run that grew.
        before, after: scores of the parts by both networks.
        old_space, space: their classes.
        clips: all clips, old and new.
    """
    prefix = prefix_of(run)
    found = {prefix + id: (part, row) for part in before if part.part != "train" for row, id in enumerate(part.ids)}
    pairs = [
        (*found[id], part, row)
        for part in after
        if part.part != "train"
        for row, id in enumerate(part.ids)
        if id in found
    ]
    scores: dict[str, Any] = {}
    if pairs:
        import numpy as np

        truths = {id(part): part.truth() for part, *_ in pairs}
        old = np.stack([part.logits[row] for part, row, _, _ in pairs])
        new = np.stack([part.logits[row] for _, _, part, row in pairs])
        truth = np.stack([truths[id(part)][row] for part, row, _, _ in pairs])
        scores = before_and_after(old, new, truth, old_space)
    earlier = sum(clip.startswith(prefix) for clip in clips.ids)
    return {
        "run": str(run),
        "old_clips": earlier,
        "new_clips": len(clips) - earlier,
        "new_classes": [id for id in space.ids if id not in old_space.ids],
        "scores": scores,
    }
