"""The adapter of HEAR: a task folder in its format, embeddings of a frozen encoder, its classifier and its scores.

  - {name: esc10, adapter: hear, source: tasks/esc10-v1-full}
  - {name: esc50, adapter: hear, task: esc50, mode: full, grid: fast}

``source`` names a task folder; else the folder ``<task>-<version>-<mode>`` is looked for where the data are. The settings are
chosen on the first split and used on the others, as in HEAR's program.

Source: [evaluation 7.4](docs/specification/evaluation.md#s7-4).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError, nearest
from auricle.core.io import dumps
from auricle.evaluation.suites.contract import (
    Measured,
    MissingData,
    SuiteFile,
    SuiteTask,
    TaskRecord,
    Work,
    WorkContext,
)
from auricle.evaluation.suites.hear.events import Decoding, decode_events, decodings, timestamp_labels
from auricle.evaluation.suites.hear.folder import HEAR_METRICS, METADATA, HearFolder

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.result_rows import Result
    from auricle.evaluation.splits import Split
    from auricle.evaluation.suites.hear.predictor import FittedPredictor
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

GRID_NAMES = ("default", "fast", "faster")
SEED = 42
WHERE = "https://zenodo.org/records/5887964 holds the task folders of HEAR 2021"
PREDICTED_SCORES = "test.predicted-scores.json"


@dataclass(frozen=True)
class HearTask(SuiteTask):
    """A task folder in HEAR's format.

    Attributes:
        name: Name of the task.
        file: The suite's file.
        source: The folder, relative to the file's root; "" where it is looked for by task and mode.
        task: HEAR's name of the task.
        mode: HEAR's name of the mode.
        grid: Settings of the classifier that are tried: "default", "fast" or "faster".
        reshuffle: Draw a new order of the training rows in every epoch.
    """

    name: str
    file: SuiteFile
    source: str = ""
    task: str = ""
    mode: str = "full"
    grid: str = "default"
    reshuffle: bool = False

    @classmethod
    def read(cls, record: TaskRecord) -> HearTask:
        """Make the task of a record: ``name``, ``source`` or ``task`` and ``mode``, ``grid``, ``reshuffle``."""
        record.only("name", "source", "task", "mode", "grid", "reshuffle")
        source, task = record.get("source") or "", record.get("task") or ""
        mode, grid = record.get("mode") or "full", record.get("grid") or "default"
        if not (source or task):
            raise record.file.fault(f"a task of HEAR needs a 'source' or a 'task', found {dict(record.values)!r}")
        if grid not in GRID_NAMES:
            raise record.file.fault(f"unknown grid '{grid}'{nearest(grid, GRID_NAMES)}; known: {', '.join(GRID_NAMES)}")
        name = record.get("name") or task or Path(source).name
        return cls(name, record.file, source, task, mode, grid, bool(record.get("reshuffle", bool, False)))

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        return [HearWork(self, model.sample_rate, self.file.under(data))]


@dataclass(frozen=True)
class HearWork(Work):
    """One task folder, for models of one sample rate."""

    entry: HearTask
    rate: int
    place: Path

    version = "1"

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.entry.name

    @property
    def protocol(self) -> str:  # type: ignore[override]
        return "hear" if self.entry.grid == "default" else f"hear, {self.entry.grid} grid"

    @cached_property
    def folder(self) -> HearFolder:
        """The task folder. Raises MissingData where there is none."""
        if self.entry.source:
            path = self.place / Path(self.entry.source).expanduser()
            if not (path / METADATA).is_file():
                raise MissingData(f"the task folder is not there: {path / METADATA} does not exist")
            return HearFolder.open(path)
        pattern = f"{self.entry.task}-*-{self.entry.mode}"
        found = sorted(path for path in self.place.glob(pattern) if (path / METADATA).is_file())
        if not found:
            raise MissingData(f"no folder {self.place / pattern} is there; {WHERE}. --data FOLDER names their folder")
        return HearFolder.open(found[-1])

    @cached_property
    def clips(self) -> Manifest:
        """The labelled clips of all splits."""
        return self.folder.clips(self.rate)

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of, stamps_hash

        rows = [[c.id, c.split, c.labels, c.events] for c in self.clips]
        metadata = {name: value for name, value in self.folder.metadata.items() if isinstance(name, str)}
        settings = [self.entry.grid, self.entry.reshuffle]
        return hash_of({"clips": rows, "metadata": metadata, "settings": settings, "files": stamps_hash(self.clips)})

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        start = time.perf_counter()
        embed = timestamp_features if self.folder.of_events else scene_features
        data = embed(self.folder, self.clips, encoder, context)
        rounds = list(self._rounds(data, context.quiet))
        rows = self._rows(data, rounds, encoder, context, time.perf_counter() - start)
        files = {PREDICTED_SCORES: dumps(predicted_scores(self.folder, rounds), indent=1)}
        return Measured(tuple(rows), None, data.failed, files=files)

    def _rounds(self, data: TaskData, quiet: bool) -> Sequence[FittedSplit]:
        """Choose the settings on the first split, train them on every split, and score its test part."""
        from auricle.core.randomness import RandomKey
        from auricle.evaluation.suites.hear.predictor import GRIDS, fit_best

        key, rounds = RandomKey(SEED), list[FittedSplit]()
        candidates = [
            replace(settings, **self._limits(), reshuffle=self.entry.reshuffle)
            for settings in GRIDS[self.entry.grid].candidates(key)
        ]
        with progress_bar(total=len(candidates) + len(data.splits) - 1, what=self.task, unit="fit", quiet=quiet) as bar:
            for split in data.splits:

                def fit(settings: Any, split: Split = split) -> FittedPredictor:
                    fitted = data.fit(split, settings, key)
                    bar.update(1)
                    return fitted

                best = fit_best(candidates, fit)
                if not best.epoch:
                    raise AuricleError(
                        f"the validation part of {split.name} gives no score: every class needs a clip in it"
                    )
                candidates = [best.settings]
                scores = data.scores(split, best)
                if undefined := [name for name, score in scores.items() if np.isnan(score)]:
                    raise AuricleError(
                        f"the test part of {split.name} gives no {undefined[0]}: every class needs a clip with it and one "
                        "without it"
                    )
                rounds.append(FittedSplit(split.name, best, scores))
        return rounds

    def _limits(self) -> dict[str, Any]:
        """What the task's metadata say about the training: HEAR's maestro has 50 epochs, dcase2016_task2 other checks."""
        limits = {"max_epochs": "epochs", "check_val_every_n_epoch": "check_every"}
        found = self.folder.metadata.get("evaluation_params") or {}
        return {
            ours: value
            for theirs, ours in limits.items()
            if type(value := found.get(theirs, self.folder.metadata.get(theirs))) is int and value > 0
        }

    def _rows(
        self, data: TaskData, rounds: Sequence[FittedSplit], encoder: Encoder, context: WorkContext, seconds: float
    ) -> list[Result]:
        from auricle.evaluation.identity import task_identity
        from auricle.evaluation.suites.rows import ratio_of_test_clips, unreadable_note, with_scores, work_row

        duration = self.folder.metadata.get("sample_duration")
        identity = task_identity(data.clips, data.labels, data.splits, duration, by_id=True)
        row = replace(
            work_row(self, encoder, context, identity),
            classes=len(self.folder.classes),
            seconds=seconds,
            test_ratio=ratio_of_test_clips(data.splits),
            notes=(*unreadable_note(len(data.failed)), *data.notes),
        )
        by_metric = {
            HEAR_METRICS[name]: {f"{own.split} / {SEED}": own.scores[HEAR_METRICS[name]] for own in rounds}
            for name in self.folder.scores
        }
        return [with_scores(row, metric, scores) for metric, scores in by_metric.items()]


@dataclass(frozen=True)
class FittedSplit:
    """One split: its predictor and the scores of its test part by our names of metrics."""

    split: str
    fitted: FittedPredictor
    scores: dict[str, float]


@dataclass(frozen=True)
class TaskData:
    """Embeddings and labels of the clips that could be read.

    Attributes:
        folder: The task.
        clips: The clips.
        splits: Rows of ``clips``.
        features: One (D,) or (T, D) array per clip.
        times: One (T,) array per clip, milliseconds; () for scenes.
        failed: Clips that could not be read, with the reason.
        notes: What weakens the scores.
    """

    folder: HearFolder
    clips: Manifest
    splits: list[Split]
    features: Sequence[np.ndarray]
    times: Sequence[np.ndarray]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> np.ndarray:
        """(n, C) of 0 and 1: the labels of each clip."""
        from auricle.evaluation.targets import label_matrix

        return label_matrix(self.clips, self.folder.classes)

    def fit(self, split: Split, settings: Any, key: Any) -> FittedPredictor:
        """Train one predictor on a split."""
        from auricle.evaluation.suites.hear.predictor import fit_predictor

        features, targets = self._rows(split.train)
        valid, _ = self._rows(split.valid)
        multilabel = self.folder.multilabel or self.folder.of_events
        validate = self._validation(split)
        return fit_predictor(features, targets, valid, validate, settings, key, multilabel=multilabel)

    def _rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, D) and targets (n, C) of clips, or of all their timestamps."""
        if not self.folder.of_events:
            return np.stack([self.features[row] for row in rows]), self.labels[rows]
        clips = [self.clips.clips[int(row)] for row in rows]
        labels = [timestamp_labels(c.events, self.times[row], self.folder.classes) for c, row in zip(clips, rows)]
        return np.concatenate([self.features[row] for row in rows]), np.concatenate(labels)

    def _validation(self, split: Split) -> Callable[[np.ndarray], tuple[float, Any]]:
        """A function from probabilities of the validation rows to the primary score and the best decoding of events."""
        from auricle.metrics.table import METRICS

        primary = METRICS[HEAR_METRICS[self.folder.scores[0]]]
        if not self.folder.of_events:
            return lambda values: (primary.sign * primary(values, self.labels[split.valid]), None)
        truth = self._truth(split.valid)
        grid = decodings((self.folder.metadata.get("evaluation_params") or {}).get("event_postprocessing_grid"))

        def validate(values: np.ndarray) -> tuple[float, Decoding]:
            found = [(primary.sign * primary(self._events(values, split.valid, way), truth), way) for way in grid]
            return max(found, key=lambda pair: -np.inf if np.isnan(pair[0]) else pair[0])

        return validate

    def scores(self, split: Split, fitted: FittedPredictor) -> dict[str, float]:
        """Return the scores of the test part, by our names of metrics."""
        from auricle.metrics.table import METRICS

        values = fitted.predict(self._rows(split.test)[0])
        names = [HEAR_METRICS[name] for name in self.folder.scores]
        if self.folder.of_events:
            found, truth = self._events(values, split.test, fitted.choice), self._truth(split.test)
            return {name: METRICS[name](found, truth) for name in names}
        return {name: METRICS[name](values, self.labels[split.test]) for name in names}

    def _truth(self, rows: np.ndarray) -> list[tuple[Any, ...]]:
        return [self.clips.clips[int(row)].events for row in rows]

    def _events(self, values: np.ndarray, rows: np.ndarray, way: Decoding) -> list[tuple[Any, ...]]:
        """The events of each clip, of the probabilities of all timestamps one after the other."""
        ends = np.cumsum([len(self.times[row]) for row in rows])
        parts = np.split(values, ends[:-1])
        return [decode_events(part, self.times[row], self.folder.classes, way) for part, row in zip(parts, rows)]


def scene_features(folder: HearFolder, clips: Manifest, encoder: Encoder, context: WorkContext) -> TaskData:
    """Embed whole clips, through the embedding cache."""
    from auricle.embeddings.cache import EmbeddingCache
    from auricle.evaluation.probes.base import check_features
    from auricle.inference.config import EmbedSettings

    cache = context.cache or EmbeddingCache()
    settings = EmbedSettings(**asdict(context.encode))
    found = cache.embed(clips, encoder, settings, what=encoder.info.name, quiet=context.quiet)
    if found.ids:
        check_features(found.clip, found.ids)
    return _task_data(folder, clips, found.ids, list(found.clip), (), found.failed)


def timestamp_features(folder: HearFolder, clips: Manifest, encoder: Encoder, context: WorkContext) -> TaskData:
    """Embed clips over time, one after the other; what they give is held in memory."""
    import torch

    from auricle.data.stores.base import open_store
    from auricle.evaluation.probes.base import check_features
    from auricle.evaluation.suites.hear.embeddings import timestamp_embeddings
    from auricle.inference.pipeline import source_of

    store, ready = open_store(clips, "audio"), encoder.for_inference()
    ids, features, times, failed = list[str](), list[np.ndarray](), list[np.ndarray](), dict[str, str]()
    with progress_bar(total=len(clips), what=encoder.info.name, quiet=context.quiet) as bar:
        for clip in clips:
            bar.update(1)
            try:
                wave = source_of(clips, store, clip).read(encoder.info.sample_rate, encoder.front.resampler)
            except AuricleError as error:
                failed[clip.id] = str(error)
                continue
            frames, stamps = timestamp_embeddings(ready, torch.from_numpy(wave[None]))
            check_features(frames[0].numpy(), [clip.id] * frames.shape[1])
            ids.append(clip.id)
            features.append(frames[0].numpy())
            times.append(stamps[0].double().numpy())
    return _task_data(folder, clips, ids, features, times, failed)


def _task_data(
    folder: HearFolder,
    clips: Manifest,
    ids: Sequence[str],
    features: Sequence[np.ndarray],
    times: Sequence[np.ndarray],
    failed: dict[str, str],
) -> TaskData:
    """Put the clips that could be read together. Raises AuricleError where a part of a split is empty."""
    readable = clips.select(ids=set(ids))
    splits = folder.splits(readable)
    folder.check_parts(readable, splits, next(iter(failed.values()), "the folder lists none"))
    return TaskData(folder, readable, splits, features, times, failed, _class_notes(folder, readable, splits))


def _class_notes(folder: HearFolder, clips: Manifest, splits: Sequence[Split]) -> tuple[str, ...]:
    """A sentence about classes that a split tests and does not learn."""
    rows = list(clips)
    for split in splits:
        learnt = {label for row in split.train for label in rows[row].labels}
        unknown = sorted({label for row in split.test for label in rows[row].labels} - learnt)
        if unknown:
            return (f"{split.name} tests {len(unknown)} classes that its training part lacks, such as {unknown[0]}",)
    return ()


def predicted_scores(folder: HearFolder, rounds: Sequence[FittedSplit]) -> dict[str, Any]:
    """Return the scores in the layout of HEAR's ``test.predicted-scores.json``, by HEAR's names."""
    names = folder.scores
    folds: dict[str, Any] = {
        own.split: {
            **{f"test_{name}": own.scores[HEAR_METRICS[name]] for name in names},
            "validation_score": own.fitted.validation,
            "epoch": own.fitted.epoch,
            **({"postprocessing": asdict(own.fitted.choice)} if own.fitted.choice is not None else {}),
        }
        for own in rounds
    }
    aggregated = {
        f"test_{name}_{what}": float(function([own.scores[HEAR_METRICS[name]] for own in rounds]))
        for name in names
        for what, function in (("mean", np.mean), ("std", np.std))
    }
    return {**folds, "aggregated_scores": aggregated, "hparams": asdict(rounds[0].fitted.settings)}
