"""Task folders in HEAR's format; ``hear.write`` writes them.

Source: [evaluation 7.3](docs/specification/evaluation.md#s7-3). A folder holds ``task_metadata.json``, ``labelvocabulary.csv``, one
``<split>.json`` for each split and the audio as ``<rate>/<split>/<file>``. No PyTorch here.
"""

from __future__ import annotations

import csv
import json
import re
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.data.manifest.manifest import Clip, Manifest, Segment
from auricle.evaluation.splits import NO_ROWS, Split

METADATA, VOCABULARY = "task_metadata.json", "labelvocabulary.csv"
PARTS = ("train", "valid", "test")
HEAR_METRICS = {
    "top1_acc": "accuracy",
    "pitch_acc": "accuracy",
    "chroma_acc": "chroma_accuracy",
    "mAP": "mAP",
    "d_prime": "d_prime",
    "aucroc": "roc_auc",
    "event_onset_200ms_fms": "onset_f",
    "event_onset_50ms_fms": "onset_f_50ms",
    "event_onset_offset_50ms_20perc_fms": "event_f_50ms",
    "segment_1s_er": "segment_error_rate",
}  # HEAR's names of scores, and ours
EVENT_METRICS = tuple(name for name in HEAR_METRICS if name.startswith(("event_", "segment_")))
LONGEST_FILTER_MS = 60_000  # of events; HEAR's own are below 1 s
MOST_EPOCHS = 10_000  # HEAR's own are 500 at most
MOST_SETTINGS = 100  # values of one setting that are tried


@dataclass(frozen=True)
class HearFolder:
    """A task folder.

    Attributes:
        path: The folder.
        metadata: What ``task_metadata.json`` holds.
        classes: Labels in the order of the vocabulary.
    """

    path: Path
    metadata: Mapping[str, Any]
    classes: tuple[str, ...]
    _read: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path) -> HearFolder:
        """Read the description of a task folder.

        Raises:
            AuricleError: It is no task folder, or a value in it cannot be used.
        """
        metadata = _json(path / METADATA)
        found = cls(path, metadata, _vocabulary(path / VOCABULARY))
        found.check()
        return found

    def check(self) -> None:
        """Raise AuricleError for metadata that this program does not understand."""
        known = {
            "embedding_type": ("scene", "event"),
            "prediction_type": ("multiclass", "multilabel"),
            "split_mode": ("trainvaltest", "new_split_kfold", "presplit_kfold"),
        }
        for name, values in known.items():
            if self.metadata.get(name) not in values:
                raise AuricleError(
                    f"{self.path / METADATA}: {name} should be {' or '.join(values)}, found {self.metadata.get(name)!r}"
                )
        names = self.metadata.get("evaluation")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise AuricleError(f"{self.path / METADATA}: evaluation should be a list of scores, found {names!r}")
        if unknown := [name for name in names if name not in HEAR_METRICS]:
            raise AuricleError(
                f"{self.path / METADATA}: unknown score {unknown[0]}; known are {', '.join(HEAR_METRICS)}"
            )
        fit = [name for name in HEAR_METRICS if (name in EVENT_METRICS) == self.of_events]
        if wrong := [name for name in names if name not in fit]:
            kind = "events" if self.of_events else "scenes"
            raise AuricleError(f"{self.path / METADATA}: {wrong[0]} is no score of {kind}; those are {', '.join(fit)}")
        seconds = self.metadata.get("sample_duration")
        if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds < np.inf):
            raise AuricleError(
                f"{self.path / METADATA}: sample_duration should be seconds above 0, found {reprlib.repr(seconds)}"
            )
        self._check_settings()

    def _check_settings(self) -> None:
        """Raise AuricleError for lengths of training that never end, and for settings of events that are no milliseconds."""
        settings = self.metadata.get("evaluation_params") or {}
        grid = settings.get("event_postprocessing_grid") or {} if isinstance(settings, dict) else None
        if not isinstance(grid, dict):
            raise AuricleError(
                f"{self.path / METADATA}: evaluation_params and its event_postprocessing_grid should be settings by name, "
                f"found {reprlib.repr(settings)}"
            )
        for name in ("max_epochs", "check_val_every_n_epoch"):
            epochs = settings.get(name, self.metadata.get(name))
            if epochs is not None and not (type(epochs) is int and 0 < epochs <= MOST_EPOCHS):
                raise AuricleError(
                    f"{self.path / METADATA}: {name} should be a whole number from 1 to {MOST_EPOCHS}, found {epochs!r:.50}"
                )
        for name, values in grid.items():
            numbers = isinstance(values, list) and len(values) <= MOST_SETTINGS
            if not numbers or not all(type(v) in (int, float) and 0 <= v <= LONGEST_FILTER_MS for v in values):
                raise AuricleError(
                    f"{self.path / METADATA}: {name} should be at most {MOST_SETTINGS} numbers of milliseconds from 0 to "
                    f"{LONGEST_FILTER_MS}, found {reprlib.repr(values)}"
                )

    @property
    def of_events(self) -> bool:
        """True for a task of events over time, False for one of whole clips."""
        return self.metadata["embedding_type"] == "event"

    @property
    def multilabel(self) -> bool:
        return self.metadata["prediction_type"] == "multilabel"

    @property
    def scores(self) -> tuple[str, ...]:
        """HEAR's names of the scores, the primary one first."""
        return tuple(self.metadata["evaluation"])

    @property
    def name(self) -> str:
        """ "esc50-v2.0.0-full"."""
        return "-".join(str(self.metadata.get(name) or "") for name in ("task_name", "version", "mode")).strip("-")

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits that have a file of labels, in order."""
        names = self.metadata.get("splits")
        if isinstance(names, list):
            names = [name.get("name") if isinstance(name, dict) else name for name in names]
            if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
                raise AuricleError(
                    f"{self.path / METADATA}: splits should be names, each once, found {reprlib.repr(names)}"
                )
        else:
            names = sorted(file.stem for file in self.path.glob("*.json") if file.name != METADATA)
        lacking = [name for name in names if not (self.path / f"{name}.json").is_file()]
        if lacking or not names:
            raise AuricleError(f"{self.path}: there is no {lacking[0] if lacking else 'split'}.json with labels")
        return tuple(names)

    def audio_folder(self, rate: int) -> Path:
        """Return the folder of the audio at ``rate`` hertz, else of the highest rate that is there."""
        folders = {
            int(place.name): place
            for place in self.path.iterdir()
            if re.fullmatch("[0-9]{1,9}", place.name) and place.is_dir()
        }
        if not folders:
            raise AuricleError(f"{self.path} holds no audio: expected folders named by sample rates, such as 48000")
        return folders.get(rate) or folders[max(folders)]

    def clips(self, rate: int) -> Manifest:
        """Return the clips of all splits, with labels or events; ids are ``<split>/<file>``.

        Raises:
            AuricleError: A file of labels cannot be used, or holds a label that is not in the vocabulary.
        """
        folder = self.audio_folder(rate)
        clips = [
            _clip(file, labels, split, self)
            for split in self.split_names
            for file, labels in sorted(self._labels(split).items())
        ]
        return Manifest(clips, root=folder, classes=self.classes)

    def _labels(self, split: str) -> dict[str, Any]:
        return _json(self.path / f"{split}.json")

    def splits(self, clips: Manifest) -> list[Split]:
        """Return the rows that train, validate and test in each fold; one split where the parts are fixed.

        Of k folds in order, fold i tests, the next one (after the last the first) validates, the others train.
        """
        parts = np.array([clip.split for clip in clips])
        rows = {name: np.flatnonzero(parts == name) for name in self.split_names}
        if self.metadata["split_mode"] == "trainvaltest":
            if lacking := [name for name in PARTS if name not in rows]:
                raise AuricleError(f"{self.path}: the split {lacking[0]} is missing; found {', '.join(rows)}")
            return [Split("test", rows["train"], rows["valid"], rows["test"])]
        if len(rows) < 3:
            raise AuricleError(f"{self.path}: {len(rows)} folds; a task in folds needs three or more")
        return [
            Split(name, _joined(rows, train), _joined(rows, valid), _joined(rows, test))
            for name, train, valid, test in fold_rotation(tuple(rows))
        ]

    def check_parts(self, clips: Manifest, splits: Sequence[Split], reason: str) -> None:
        """Raise AuricleError where a part of a split is empty, or where all its clips are alike.

        Args:
            clips: The clips that could be read.
            splits: Their rows.
            reason: Why a clip is missing, for the message.
        """
        rows = list(clips)
        if not self.of_events and not self.multilabel and len(found := {clip.labels for clip in rows}) == 1:
            raise AuricleError(
                f"{self.path}: every clip has the label '{found.pop()[0]}'; a task needs two classes or more"
            )
        for split in splits:
            for part in PARTS:
                own = [rows[row] for row in getattr(split, part)]
                if not own:
                    raise AuricleError(f"{self.path}: no clip of {split.name} ({part}) could be read; {reason}")
                if self.of_events and not any(clip.events for clip in own):
                    raise AuricleError(
                        f"{self.path}: no clip of {split.name} ({part}) has an event; every part needs one"
                    )


def fold_rotation(folds: Sequence[str]) -> list[tuple[str, list[str], list[str], list[str]]]:
    """Return (tested fold, training folds, validation folds, test folds) for every fold, in order of their names."""
    names = sorted(folds)
    rounds = []
    for i, test in enumerate(names):
        valid = names[(i + 1) % len(names)]
        rounds.append((test, [name for name in names if name not in (test, valid)], [valid], [test]))
    return rounds


def _joined(rows: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    return np.concatenate([rows[name] for name in names]) if names else NO_ROWS


def _clip(file: str, labels: Any, split: str, task: HearFolder) -> Clip:
    where = f"{task.path / split}.json: {file:.200}"
    if not file or set(file) & set("/\\\0") or file == "..":
        raise AuricleError(f"{where}: expected the name of a file in the folder {split}, without folders")
    try:
        if task.of_events:
            events = tuple(sorted(_span(event) for event in labels))
            names = tuple(sorted({event.label for event in events}))
        else:
            events, names = (), tuple(map(str, labels if isinstance(labels, list) else [labels]))
    except (TypeError, LookupError, ValueError, OverflowError) as error:
        raise AuricleError(f"{where}: its labels cannot be used: {content_fault(error)}") from None
    if unknown := [name for name in names if name not in task.classes]:
        raise AuricleError(f"{where}: the label {unknown[0]} is not in {VOCABULARY}")
    if not task.of_events and not task.multilabel and len(names) != 1:
        raise AuricleError(f"{where}: a multiclass task needs one label per clip, found {len(names)}")
    return Clip(f"{split}/{file}", path=f"{split}/{file}", labels=names, events=events, split=split)


def _span(event: Mapping[str, Any]) -> Segment:
    """An event in seconds. Raises ValueError for one that ends before it begins, or that no recording holds."""
    start, end = float(event["start"]), float(event["end"])
    if not 0 <= start <= end < np.inf:
        raise ValueError(f"an event goes from {start:g} to {end:g} ms")
    return Segment(start / 1e3, end / 1e3, str(event["label"]))


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AuricleError(f"{file} cannot be used: {content_fault(error)}") from None
    if not isinstance(content, dict):
        raise AuricleError(f"{file} cannot be used: expected names with values, found {type(content).__name__}")
    return content


def _vocabulary(file: Path) -> tuple[str, ...]:
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines)
            if not {"idx", "label"} <= set(table.fieldnames or ()):
                raise ValueError(f"its columns are {', '.join(table.fieldnames or ())}")
            found = [(int(row["idx"]), row["label"]) for row in table]
        rows = dict(found)
        labels = tuple(rows[i] for i in range(len(found)))
        if repeated := [label for label, count in Counter(labels).items() if count > 1]:
            raise ValueError(f"the label {reprlib.repr(repeated[0])} stands in it twice")
        if len(labels) < 2 or None in labels:
            raise ValueError(f"it holds {len(labels)} labels, and a task needs at least two")
        return labels
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise AuricleError(f"{file} cannot be used: {content_fault(error)} (expected columns idx and label)") from None
