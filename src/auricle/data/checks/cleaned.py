"""The cleaned manifest: without clips that cannot be used, and with one clip of each sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from auricle.data.checks.clip_faults import is_usable
from auricle.data.checks.measures import ClipMeasures
from auricle.data.checks.shared_sound import Copies, conflicting_groups
from auricle.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class CleanedManifest:
    """A manifest without what should not be learnt from.

    Attributes:
        manifest: The clips that are kept, in the same order.
        unusable: Number of clips left out because they cannot be read or hold no sound.
        copies: Number of clips left out because another clip with the same sound is kept.
        conflicting: Number of clips left out because copies of them have other labels, so that nobody knows which is right.
    """

    manifest: Manifest
    unusable: int
    copies: int
    conflicting: int


def cleaned(manifest: Manifest, measures: Sequence[ClipMeasures], copies: Copies) -> CleanedManifest:
    """Leave out clips that cannot be used, copies of others (a labelled clip is kept, else the first), and conflicts of labels.

    Args:
        manifest: The clips.
        measures: What was measured of them, in the same order.
        copies: Which of them hold the same sound.
    """
    unusable = np.array([not is_usable(clip) for clip in measures], bool)
    conflicting, repeated = np.zeros(len(manifest), bool), np.zeros(len(manifest), bool)
    for group in conflicting_groups(manifest, copies):
        conflicting[list(group)] = True
    labels = list(manifest.table.values("labels"))
    for group in copies.groups():
        kept = next((number for number in group if labels[number]), group[0])
        repeated[[number for number in group if number != kept]] = True
    repeated &= ~conflicting
    rows = manifest.table.take(~(unusable | conflicting | repeated))
    kept_clips = replace(manifest, clips=rows, notes=())
    return CleanedManifest(kept_clips, int(unusable.sum()), int(repeated.sum()), int(conflicting.sum()))
