"""The manifest: a table of clips, joined by id, never by order; its parts by the names of their splits, and stratified folds
that keep groups together. No PyTorch here.

Ids are unique. Unless a table gives them, an id is the path relative to the root, with ``@start-end`` (seconds) added for
a clip that is a part of a recording. ``formats`` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.core.randomness import RandomKey
from auricle.data.manifest.clip_table import DEFAULTS, Clip, ClipTable, Segment

__all__ = [
    "BACKGROUND_NAMES",
    "Clip",
    "Manifest",
    "ManifestWarning",
    "Segment",
    "TEST_SPLITS",
    "TRAINING_SPLITS",
    "VALIDATION_SPLITS",
    "draw_folds",
]


TRAINING_SPLITS = ("train", "training", "fit")
BACKGROUND_NAMES = frozenset(  # in lower case
    ("background", "noise", "silence", "other", "none", "nothing", "_background_noise_")
)


class ManifestWarning(UserWarning):
    """Something in a manifest that is allowed but may be a mistake: groups in several splits, rows without a file."""


@dataclass(frozen=True)
class Manifest:
    """Clips in a fixed order. They are stored as columns; a ``Clip`` is made when a row is read.

    Args:
        clips: The clips; any sequence of ``Clip`` becomes a ``ClipTable``.
        root: Folder that relative paths start from.
        classes: Class list in the order of the logits, or None.
        notes: Warnings from reading the manifest.

    Raises:
        AuricleError: Two clips have the same id.

    Example:
        manifest = auricle.Manifest.read("clips.csv")
        print(len(manifest), manifest.label_classes())
        train = manifest.select(split="train")
    """

    clips: Sequence[Clip]
    root: Path = Path(".")
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", ClipTable.of(self.clips))
        object.__setattr__(self, "root", Path(self.root))
        if repeated := self.table.repeated_ids():
            twice = [f"'{id}' ({n} rows)" for id, n in repeated.items()]
            raise AuricleError(
                f"duplicate ids in the manifest: {', '.join(twice[:5])}{_and_more(len(twice) - 5)}; "
                "every id must be unique: remove the extra rows, or give the clips an 'id' column"
            )

    @classmethod
    def read(
        cls,
        source: str | Path | Sequence[Any],
        *,
        labels: str | Path | None = None,
        label_column: str | None = None,
        group_column: str | None = None,
        classes: str | Path | Sequence[str] | None = None,
        root: str | Path | None = None,
    ) -> Manifest:
        """Read a table (CSV, TSV, Parquet), a folder, one audio file, or a list of paths (``formats.read_manifest``).

        Args:
            source: The table, folder, file or list.
            labels: A table that is joined to the clips by id or file name.
            label_column, group_column: Columns of the labels and groups, where they have unusual names.
            classes: Class list in the order of the logits, or a file of it.
            root: Where relative paths start; None: the table's folder, or its sub-folder ``audio``.

        Raises:
            AuricleError: The source cannot be read, the root is missing, a column is unknown, or ids repeat.
        """
        from auricle.data.manifest.formats import read_manifest

        return read_manifest(
            source, labels=labels, label_column=label_column, group_column=group_column, classes=classes, root=root
        )

    @property
    def table(self) -> ClipTable:
        """The clips as columns, for work on all rows at once."""
        assert isinstance(self.clips, ClipTable)
        return self.clips

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __contains__(self, id: str) -> bool:
        return self.table.row_of(id) is not None

    def __getitem__(self, id: str) -> Clip:
        """Return the clip of an id. Raises AuricleError, with the nearest ids, when there is none."""
        row = self.table.row_of(id)
        if row is None:
            raise AuricleError(f"no clip '{id}' in the manifest{nearest(id, list(self.ids))}")
        return self.clips[row]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in the order of the clips."""
        return tuple(self.table.values("id"))

    def audio(self, clip: Clip) -> Path:
        """Return the audio file of a clip. Raises AuricleError when it is in an archive, or only its spectrogram is stored."""
        if clip.path is None and clip.in_archive:
            raise AuricleError(
                f"the recording of '{clip.id}' is inside {clip.store}, and a file of its own is needed here; 'auricle prepare "
                "DATASET --cache' keeps recordings as files"
            )
        if clip.path is None:
            raise AuricleError(f"the manifest has no audio path for '{clip.id}', only a stored spectrogram")
        return self.root / clip.path

    def holder(self, clip: Clip) -> Path:
        """Return the file that holds the recording of a clip: its own, or the archive that it is a part of.

        Raises:
            AuricleError: only its spectrogram is stored.
        """
        return self.root / str(clip.store) if clip.path is None and clip.in_archive else self.audio(clip)

    def spectrogram(self, clip: Clip) -> Path:
        """Return the file of a clip's stored spectrogram. Raises AuricleError when there is none."""
        if not clip.has_spectrogram:
            raise AuricleError(f"the manifest has no stored spectrogram for '{clip.id}'; 'auricle prepare' makes them")
        return self.root / (clip.store or "") / str(clip.key)

    def label_classes(self) -> tuple[str, ...]:
        """Return the classes in the order of the logits: the class list, else the sorted labels of the training part.

        The training part is the split called train, training or fit, or all clips where there is none. Labels are sorted
        as strings ([m2d 4.4](docs/specification/m2d.md#s4-4)).
        """
        if self.classes is not None:
            return self.classes
        training = self.in_splits(TRAINING_SPLITS)
        table = self.table.take(training) if training.any() else self.table
        return tuple(sorted(table.distinct("labels")))

    def in_splits(self, names: Collection[str]) -> np.ndarray:
        """Return a mask (N,) of the clips whose split, in lower case, is one of the names; "" is that of clips without one."""
        return self.table.where("split", lambda split: (split or "").lower() in names)

    def select(
        self,
        *,
        split: str | Collection[str] | None = None,
        fold: int | Collection[int] | None = None,
        group: str | Collection[str] | None = None,
        ids: Collection[str] | None = None,
    ) -> Manifest:
        """Return the clips that meet every condition, in the same order. The class order stays that of the whole."""
        selected = np.ones(len(self), bool)
        for name, wanted in {"split": split, "fold": fold, "group": group, "id": ids}.items():
            if wanted is not None:
                selected &= self.table.where(name, _as_set(wanted).__contains__)
        return replace(self, clips=self.table.take(selected), classes=self.label_classes() or None)

    def joined(self, other: Manifest) -> Manifest:
        """Return these clips with the fields that ``other`` sets for the same id (labels, fold, group, ...)."""
        clips = (_merged(clip, other[clip.id]) if clip.id in other else clip for clip in self.clips)
        return replace(self, clips=ClipTable.of(clips), classes=other.classes or self.classes)

    def notes_but_leaks(self) -> tuple[str, ...]:
        """Return the notes without those of ``leaks``."""
        leaks = self.leaks()
        return tuple(note for note in self.notes if note not in leaks)

    def leaks(self) -> list[str]:
        """Return one warning for splits and one for folds when clips of one group are in several of them."""
        return [text for part in ("split", "fold") if (text := self._leak(part))]

    def _leak(self, part: str) -> str:
        if not {"group", part} <= self.table.columns.keys():
            return ""
        table = self.table.take(self.table.where("group", _is_set) & self.table.where(part, _is_set))
        groups, names = table.codes("group")
        parts, part_names = table.codes(part)
        pairs = np.sort(groups.astype(np.int64) * len(part_names) + parts)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        counts = np.bincount(pairs // max(1, len(part_names)), minlength=len(names))
        split_at_dashes = sorted(names[code] for code in np.flatnonzero(counts > 1))
        if not split_at_dashes:
            return ""
        shown = ", ".join(split_at_dashes[:5]) + _and_more(len(split_at_dashes) - 5)
        return (
            f"{len(split_at_dashes)} of {(counts > 0).sum()} groups stand in more than one {part} ({shown}): "
            f"scores over {part}s will be too good"
        )


def _is_set(value: object) -> bool:
    return value is not None


def _merged(clip: Clip, other: Clip) -> Clip:
    """Return ``clip`` with every field that ``other`` sets; the place of the audio only if ``clip`` has none."""
    own = {"id"} | ({"path", "store", "key"} if clip.path or clip.key else set())
    values = {f.name: getattr(other, f.name) for f in fields(Clip) if f.name not in own}
    return replace(clip, **{name: value for name, value in values.items() if value != DEFAULTS[name]})


def _as_set(values: object) -> set:
    return set(values) if isinstance(values, Iterable) and not isinstance(values, str) else {values}


def _and_more(n: int) -> str:
    return f" and {n} more" if n > 0 else ""


VALIDATION_SPLITS = ("valid", "val", "validation", "dev", "development")
TEST_SPLITS = ("test", "testing", "eval", "evaluation")


def draw_folds(values: np.ndarray, groups: Sequence[str], folds: int, seed: int) -> list[str]:
    """Draw a fold for every row: groups stay whole, and every class is spread as evenly as the groups allow.

    Groups are taken largest first (equal ones in a keyed order); each goes to the fold that has the least of its classes.

    Args:
        values: (n, C) of 0 and 1, the classes of each row.
        groups: The group of each row.
        folds: How many folds.
        seed: Key of the order of equal groups.

    Returns:
        A name "1" … per row.
    """
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), values.shape[1]), np.float32)
    if len(names) == len(values):
        counts[inverse] = values
    else:
        np.add.at(counts, inverse, values)
    order = RandomKey(seed).of("folds").permutation(len(names))
    order = order[np.argsort(-counts.sum(1)[order], kind="stable")]
    totals, class_sizes = np.zeros((folds, values.shape[1])), values.sum(0).clip(min=1)
    sizes = np.zeros(folds)  # of each fold, over all classes
    chosen = np.zeros(len(names), np.int64)
    for group in order:
        present = np.flatnonzero(counts[group])
        if len(present) == 1:  # the usual case, quick with thousands of classes
            fullness = totals[:, present[0]] / class_sizes[present[0]]
        else:
            fullness = ((totals / class_sizes) * (counts[group] > 0)).sum(1)  # of each fold, in this group's classes
        chosen[group] = np.lexsort((sizes, fullness))[0]
        totals[chosen[group]] += counts[group]
        sizes[chosen[group]] += counts[group].sum()
    return [str(fold + 1) for fold in chosen[inverse]]
