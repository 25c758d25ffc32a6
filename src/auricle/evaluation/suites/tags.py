"""The adapter of taggers: their own scores of every class against the labels, without a probe.

Protocol ``audioset``: mAP, area under the ROC curve and d' over the classes that occur, as AudioSet's papers print them, on the
clips that are present. Clips are cut or zero-padded to ten seconds, as published, unless the task has another length. Published
mAPs are of other sets of clips: what compares is several models on these, with intervals and paired differences.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.evaluation.suites.contract import (
    Measured,
    MissingData,
    SuiteFile,
    SuiteTask,
    TaskRecord,
    Work,
    WorkContext,
)
from auricle.evaluation.tasks import Task

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.evaluation import Evaluation, Score
    from auricle.inference.embedder import Embeddings
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo
    from auricle.models.label_space import LabelSpace

SECONDS = 10.0
METRICS = ("mAP", "roc_auc", "d_prime_of_auc")
PART = "all clips"


@dataclass(frozen=True)
class TagsTask(SuiteTask):
    """Labelled clips that taggers are scored on.

    Attributes:
        name: Name of the task.
        task: Clips and labels; ``seconds`` None stands for ten.
        file: The suite's file.
    """

    name: str
    task: Task
    file: SuiteFile

    @classmethod
    def read(cls, record: TaskRecord) -> TagsTask:
        """Make the task of a record: ``name``, ``source``, ``labels``, ``label_column``, ``seconds``."""
        record.only("name", "source", "labels", "label_column", "seconds")
        source, seconds = record.get("source"), record.get("seconds", (int, float))
        if not source:
            raise record.file.fault(f"every task needs a 'source', found {dict(record.values)!r}")
        task = Task(source, labels=record.get("labels"), label_column=record.get("label_column"), seconds=seconds)
        return cls(record.get("name") or task.title, task, record.file)

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        root = self.file.under(data)
        paths = {
            name: str(root / Path(path).expanduser())
            for name in ("source", "labels")
            if (path := getattr(self.task, name))
        }
        return [TagsWork(self.name, replace(self.task, **paths))]  # type: ignore[arg-type]


@dataclass(frozen=True)
class TagsWork(Work):
    """The tags of one set of clips."""

    name: str
    clips: Task

    protocol = "audioset"
    version = "1"

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.name

    @cached_property
    def manifest(self) -> Manifest:
        """The labelled clips of the evaluation part. Raises MissingData where there are none."""
        from auricle.data.manifest.manifest import TEST_SPLITS
        from auricle.data.published.audioset import EVALUATION, find_archive, find_lists, read_audioset
        from auricle.evaluation.targets import labelled

        folder = Path(self.clips.source)
        if not folder.exists():
            raise MissingData(f"the data are not there: {folder} does not exist")
        official = folder.is_dir() and (find_archive(folder, EVALUATION) or find_lists(folder, EVALUATION))
        if official and not self.clips.labels:
            from auricle.data.published.base import present_rows

            whole = read_audioset(folder, (EVALUATION,))
            there = present_rows(whole)
            count = f"{int(there.sum()):,} of {len(whole):,} clips of the official evaluation list are here"
            whole = replace(whole, clips=whole.table.take(there), notes=(*whole.notes, count))
        else:
            whole = self.clips.manifest()
        tested = whole.in_splits(TEST_SPLITS)
        return labelled(
            whole.select(ids=[id for id, part in zip(whole.ids, tested) if part]) if tested.any() else whole
        )

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of, stamps_hash

        rows = [[c.id, c.path, c.store, c.key, c.start, c.end, sorted(set(c.labels))] for c in self.manifest]
        return hash_of({"clips": rows, "seconds": self.clips.seconds or SECONDS, "files": stamps_hash(self.manifest)})

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        started = time.perf_counter()
        context.own_statistics_only("the protocol audioset")
        from auricle.data.stores.shards import LOGITS
        from auricle.embeddings.cache import EmbeddingCache
        from auricle.evaluation.runner import embed_settings

        space = encoder.info.label_space
        if space is None or not space.named:
            raise AuricleError(
                f"{encoder.info.name} has no named classes, so that it gives no tags; --protocol linear fits a probe"
            )
        classes, columns = class_order(space)
        clips, unknown = with_known_labels(self.manifest, space)
        task = replace(self.clips, seconds=self.clips.seconds or SECONDS)
        settings = embed_settings(context.encode, task)
        cache = context.cache or EmbeddingCache()
        embedded = cache.embed(clips, encoder, settings, vectors=(LOGITS,), what=encoder.info.name, quiet=context.quiet)
        if not embedded.ids:
            raise AuricleError(
                f"none of the {len(clips)} clips could be scored; the first: {next(iter(embedded.failed.values()))}"
            )
        notes = (*self.manifest.notes, *unknown, *cache.notes)
        scored = _Scored(clips.select(ids=set(embedded.ids)), embedded, embedded.clip[:, columns], classes, notes)
        return scored.measured(self, encoder, context, task, started)


@dataclass(frozen=True)
class _Scored:
    """Clips with the logits (n, C) of their tags, the classes in a fixed order."""

    clips: Manifest
    embedded: Embeddings
    logits: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def measured(self, work: TagsWork, encoder: Encoder, context: WorkContext, task: Task, started: float) -> Measured:
        from auricle.evaluation.bootstrap import bootstrap_interval
        from auricle.evaluation.result_rows import rows_of
        from auricle.evaluation.targets import label_matrix

        targets = label_matrix(self.clips, self.classes)
        evaluation = self.evaluation(work, encoder, context, task, targets)
        evaluation = replace(evaluation, seconds=round(time.perf_counter() - started, 3))
        main, *rest = rows_of(evaluation)
        rows = [main]
        for name in METRICS[1:]:
            value = _value(name, self.logits, targets)
            interval = bootstrap_interval(name, self.logits, targets)
            rows.append(
                replace(main, metric=name, score=value, scores={f"{PART} / 0": value}, interval=interval, notes=())
            )
        return Measured((*rows, *rest), evaluation, self.embedded.failed)

    def evaluation(
        self, work: TagsWork, encoder: Encoder, context: WorkContext, task: Task, targets: np.ndarray
    ) -> Evaluation:
        from auricle.core.options import as_plain
        from auricle.evaluation.bootstrap import bootstrap_interval
        from auricle.evaluation.evaluation import Coverage, Evaluation, class_values, make_predictions
        from auricle.evaluation.identity import task_identity
        from auricle.evaluation.splits import NO_ROWS, Split
        from auricle.hub.run_folder import environment

        every = np.arange(len(self.clips))
        tested = [(clip.id, PART, tuple(sorted(set(clip.labels)))) for clip in self.clips]
        present = int(targets.any(0).sum())
        own = self._score(
            encoder.info.name, _value(METRICS[0], self.logits, targets), present, encoder.fingerprint(), context.place
        )
        guess = np.tile(targets.mean(0), (len(targets), 1))
        chance = (self._score("chance", _value(METRICS[0], guess, targets), present),) if context.baselines else ()
        whole = len(work.manifest)
        failed = len(self.embedded.failed)
        return Evaluation(
            task=work.task,
            protocol=work.protocol,
            metric=METRICS[0],
            score=own,
            baselines=chance,
            classes=self.classes,
            classes_scored=present,
            multilabel=True,
            coverage=Coverage(whole, whole - len(self.clips) - failed, failed, 0, len(self.clips)),
            predictions=make_predictions(tested, self.logits, self.classes),
            interval=bootstrap_interval(METRICS[0], self.logits, targets),
            failed=self.embedded.failed,
            notes=(f"{present} of {len(self.classes)} classes occur and are scored", *dict.fromkeys(self.notes)),
            settings=as_plain({"task": task.with_absolute_paths(), "encode": context.encode}),
            environment=environment(),
            command=context.command,
            identity=task_identity(self.clips, targets, [Split(PART, NO_ROWS, NO_ROWS, every)], task.seconds),
            class_scores=class_values(self.logits, targets, self.classes, True),
            all_scores=self.logits,
            version=work.version,
        )

    def _score(self, model: str, value: float, classes: int, checksum: str = "", place: str = "") -> Score:
        from auricle.evaluation.evaluation import Score
        from auricle.evaluation.scoring import FoldScore

        fold = FoldScore(PART, 0, value, 0, 0, len(self.clips), classes)
        return Score(model, value, None, (fold,), checksum, place=place)


def _value(name: str, scores: np.ndarray, targets: np.ndarray) -> float:
    from auricle.metrics.table import metric

    return metric(name)(scores, targets)


def class_order(space: LabelSpace) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of a tagger's classes in an order that does not depend on the tagger, and their columns.

    AudioSet's classes have the order of its class list, others that of their names.
    """
    from auricle.data.audioset import audioset_classes

    official = {name: i for i, (_, name) in enumerate(audioset_classes())}
    columns = sorted(range(len(space)), key=lambda c: (official.get(space.names[c], len(official)), space.names[c]))
    return tuple(space.names[c] for c in columns), columns


def with_known_labels(manifest: Manifest, space: LabelSpace) -> tuple[Manifest, list[str]]:
    """Return the clips that have a label which the tagger knows, labels as names; and notes about the others.

    Raises:
        AuricleError: It knows none of the labels.
    """
    names = dict(zip(space.ids, space.names, strict=True)) | {name: name for name in space.names}
    labels = sorted({label for clip in manifest for label in clip.labels})
    unknown = [label for label in labels if label not in names]
    if len(unknown) == len(labels):
        raise AuricleError(
            f"the tagger knows none of the {len(labels)} labels ({listed(labels, 4)}); it has {listed(space.names, 4)}. Labels are "
            "compared by class id or name"
        )
    clips = [
        replace(clip, labels=tuple(dict.fromkeys(names[label] for label in clip.labels if label in names)))
        for clip in manifest
    ]
    kept = [clip for clip in clips if clip.labels]
    notes = []
    if unknown:
        notes.append(
            f"{len(unknown)} labels are not the tagger's ({listed(unknown, 4)}): they were left out, and "
            f"{len(clips) - len(kept)} clips with no other"
        )
    return replace(manifest, clips=kept, classes=None), notes
