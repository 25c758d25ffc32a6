"""AudioSet: its 527 classes, and the weighted list of M2D-AS from the official segment lists.

Source: [m2d 8.4](docs/specification/m2d.md#s8-4).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from auricle.core.errors import AuricleError

# of AudioSet (CC BY 4.0, Google), unchanged: [efficientat 14](docs/specification/efficientat.md#s14)
FILE = "audioset_class_labels_indices.csv"
ID_LENGTH = 11  # characters of a YouTube id, with which every file name begins
SCALE, OFFSET, POWER = 1000.0, 100.0, 1 / 1.5  # class weight 1000 / (count + 100); clip weight (their sum)^(1/1.5)


@cache
def audioset_classes() -> tuple[tuple[str, str], ...]:
    """Return (id, name) of the 527 classes in the order of EfficientAT's logits: ("/m/09x0r", "Speech") first."""
    lines = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8").splitlines()
    return tuple((row["mid"], row["display_name"]) for row in csv.DictReader(lines))


@cache
def audioset_classes_by_id() -> tuple[tuple[str, str], ...]:
    """Return (id, name) of the 527 classes sorted by id as text: ("/g/122z_qxw", "Firecracker") first.

    The logits of M2D fine-tuned on AudioSet have this order ([m2d 6.4](docs/specification/m2d.md#s6-4)).
    """
    return tuple(sorted(audioset_classes()))


class WeightedClip(NamedTuple):
    """One row of the weighted list: the file, the ids of its classes and its weight."""

    file_name: str
    labels: tuple[str, ...]
    weight: float


def read_segments(paths: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Read official segment lists: lines ``YTID, start, end, "id,id,…"`` after comments that begin with ``#``.

    Args:
        paths: The lists.

    Returns:
        The class ids of every clip id.

    Raises:
        AuricleError: A file is no segment list.
    """
    segments: dict[str, tuple[str, ...]] = {}
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AuricleError(f"cannot read the segment list {path}: {error}") from None
        segments |= _segments(lines, path)
    return segments


def _segments(lines: Sequence[str], path: Path) -> dict[str, tuple[str, ...]]:
    content = [
        (number, line) for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")
    ]
    rows = csv.reader((line for _, line in content), skipinitialspace=True)
    segments = {}
    for (number, line), row in zip(content, rows):
        if len(row) != 4 or len(row[0]) != ID_LENGTH or not row[3]:
            raise AuricleError(
                f'{path} line {number} is no segment: expected id, start, end, "classes", found {line!r}'
            )
        segments[row[0]] = tuple(row[3].split(","))
    return segments


def file_names(path: Path) -> list[str]:
    """Return the ``file_name`` column of a list, in its order. Raises AuricleError when there is none."""
    from auricle.data.manifest.tables import read_table  # which imports, for the names of classes, this module

    rows = list(read_table(path))
    if not rows or "file_name" not in rows[0]:
        raise AuricleError(f"{path} has no column 'file_name'; 'auricle prepare list' makes such a list")
    return [str(row["file_name"]) for row in rows]


def clip_id(file_name: str) -> str:
    """Return the id that a file name begins with."""
    return Path(file_name).name[:ID_LENGTH]


def weight_clips(
    names: Iterable[str], segments: Mapping[str, tuple[str, ...]], offset: float = OFFSET
) -> tuple[list[WeightedClip], list[str]]:
    """Return the rows of the clips that have labels, in order, and the names of those that have none.

    A clip weighs (the sum of 1000 / (clips of the class + offset) over its classes) ^ (1 / 1.5).
    """
    names = list(names)
    known = [name for name in names if clip_id(name) in segments]
    weigh = clip_weights((segments[clip_id(name)] for name in known), offset)
    rows = [WeightedClip(name, labels, weigh(labels)) for name in known for labels in [segments[clip_id(name)]]]
    return rows, [name for name in names if clip_id(name) not in segments]


def clip_weights(counted: Iterable[Iterable[str]], offset: float) -> Callable[[Iterable[str]], float]:
    """Return the function from the labels of a clip to its weight: (the sum of 1000 / (n + offset) over them) ^ (1 / 1.5).

    Args:
        counted: labels of the clips whose classes are counted; a class that none of them has weighs nothing.
        offset: added to the n clips of each class.
    """
    counts = Counter(label for labels in counted for label in labels)
    weights = {label: SCALE / (count + offset) for label, count in counts.items()}
    return lambda labels: sum(weights.get(label, 0.0) for label in labels) ** POWER
