"""The 527 classes of AudioSet, shipped with the package, in the two orders that published taggers use.

The file is ``class_labels_indices.csv`` of AudioSet (CC BY 4.0, Google), unchanged (specification efficientat 14).
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

FILE = "audioset_class_labels_indices.csv"


@cache
def audioset_classes() -> tuple[tuple[str, str], ...]:
    """(id, name) in the order of the index file, EfficientAT's: ("/m/09x0r", "Speech") first."""
    lines = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8").splitlines()
    return tuple((row["mid"], row["display_name"]) for row in csv.DictReader(lines))


@cache
def audioset_classes_by_id() -> tuple[tuple[str, str], ...]:
    """(id, name) sorted by id as text: ("/g/122z_qxw", "Firecracker") first.

    The logits of M2D fine-tuned on AudioSet are in this order (specification m2d 6.4).
    """
    return tuple(sorted(audioset_classes()))
