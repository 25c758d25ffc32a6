"""The adapters of encoders with a text side: zero-shot classification, and retrieval of captions and sounds.

  - {adapter: zero-shot, name: esc50, dataset: esc50, split_by: folds, seconds: 5}
  - {adapter: zero-shot, name: gtzan, dataset: gtzan, split_by: split, seconds: 30, captions: "{} music can be heard"}
  - {adapter: retrieval, name: clotho, source: "work/original/clotho", labels: evar/metadata/clotho.csv}

Source: [evaluation 4](docs/specification/evaluation.md#s4). Captions of classes: underscores become blanks; ``captions`` is a text
with ``{}``, or a mapping from class to caption. A retrieval table has the columns ``file_name``, ``caption`` and maybe ``split``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.audioset import audioset_classes
from auricle.evaluation.protocols import protocol
from auricle.evaluation.suites.contract import (
    Measured,
    MissingData,
    SuiteFile,
    SuiteTask,
    TaskRecord,
    Work,
    WorkContext,
)
from auricle.evaluation.suites.probe_tasks import ProbeTask, ProbeWork, not_there

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.evaluation import Evaluation
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

CAPTION = "{} can be heard"
PART = "test"


def caption_of(name: str, captions: str | Mapping[str, str]) -> str:
    """Return the caption of a class; AudioSet's ids stand for their names. Raises AuricleError for a class that a mapping lacks."""
    if isinstance(captions, str):
        return captions.replace("{}", dict(audioset_classes()).get(name, name).replace("_", " "))
    if name not in captions:
        raise AuricleError(f"there is no caption of the class '{name}'; there are captions of {', '.join(captions)}")
    return captions[name]


@dataclass(frozen=True)
class ZeroShotTask(SuiteTask):
    """A task whose classes are told by their captions alone.

    Attributes:
        name: Name of the task; results call it ``zs_NAME``.
        entry: Clips, labels and split.
        captions: A text with ``{}`` for the class, or a caption per class.
    """

    name: str
    entry: ProbeTask
    captions: str | Mapping[str, str] = CAPTION

    @classmethod
    def read(cls, record: TaskRecord) -> ZeroShotTask:
        """Make the task of a record: that of a probe task without ``protocols``, and ``captions``."""
        captions = record.values.get("captions", CAPTION)
        mapping = isinstance(captions, dict) and all(isinstance(text, str) for text in captions.values())
        if not mapping and not (isinstance(captions, str) and "{}" in captions):
            raise record.file.fault(f"captions should be a text with {{}} or a mapping, found {captions!r}")
        values = {name: value for name, value in record.values.items() if name != "captions"}
        entry = ProbeTask.read(TaskRecord(values, record.file))
        return cls(entry.name, entry, captions)

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        return [ZeroShotWork(self, model.sample_rate, data)]


@dataclass(frozen=True)
class ZeroShotWork(Work):
    """Zero-shot classification of the test part; all folds together."""

    entry: ZeroShotTask
    rate: int
    data: str | None = None

    protocol = "zero-shot"
    version = "1"

    @property
    def task(self) -> str:  # type: ignore[override]
        return f"zs_{self.entry.name}"

    @cached_property
    def clips(self) -> ProbeWork:
        return ProbeWork(self.entry.entry, protocol("logistic"), self.rate, self.data)

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of

        captions = self.entry.captions
        return hash_of(
            {"clips": self.clips.fingerprint(), "captions": captions if isinstance(captions, str) else {**captions}}
        )

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        from auricle.embeddings.cache import EmbeddingCache
        from auricle.evaluation.result_rows import rows_of
        from auricle.evaluation.runner import embed_settings
        from auricle.evaluation.text_side import caption_vectors, similarity, sound_vectors, text_side

        context.own_statistics_only("zero-shot classification")
        side, plan = text_side(context.text, encoder), self.clips.plan
        targets = plan.split.targets
        tested = np.unique(np.concatenate([split.test for split in plan.split.splits]))
        clips = plan.candidates.select(ids={plan.candidates.ids[row] for row in tested})
        settings = embed_settings(context.encode, plan.task)
        cache = context.cache or EmbeddingCache()
        embedded = cache.embed(clips, encoder, settings, what=encoder.info.name, quiet=context.quiet)
        if not embedded.ids:
            raise _nothing_embedded(len(clips), embedded.failed)
        texts = caption_vectors(side, [caption_of(name, self.entry.captions) for name in targets.classes])
        scores = similarity(sound_vectors(side, embedded.clip), texts)
        place = {id: row for row, id in enumerate(plan.candidates.ids)}
        values = targets.values[[place[id] for id in embedded.ids]]
        usable = clips.select(ids=set(embedded.ids))
        evaluation = self._evaluation(encoder, context, usable, scores, values, embedded.failed)
        return Measured(tuple(rows_of(evaluation)), evaluation, embedded.failed)

    def _evaluation(
        self,
        encoder: Encoder,
        context: WorkContext,
        clips: Manifest,
        scores: np.ndarray,
        values: np.ndarray,
        failed: dict[str, str],
    ) -> Evaluation:
        from auricle.core.options import as_plain
        from auricle.evaluation.bootstrap import bootstrap_interval
        from auricle.evaluation.evaluation import (
            Coverage,
            Evaluation,
            Score,
            class_values,
            make_predictions,
            model_title,
        )
        from auricle.evaluation.identity import task_identity
        from auricle.evaluation.scoring import FoldScore
        from auricle.evaluation.splits import NO_ROWS, Split
        from auricle.hub.run_folder import environment

        plan = self.clips.plan
        targets, metric = plan.split.targets, plan.split.metric
        value, present = targets.scored_by(scores, values), int(values.any(0).sum())
        fold = FoldScore(PART, 0, value, 0, 0, len(clips), present)
        model = model_title(encoder.info.name, asdict(context.encode))
        split = Split(PART, NO_ROWS, NO_ROWS, np.arange(len(clips)))
        return Evaluation(
            task=self.task,
            protocol=self.protocol,
            metric=metric,
            score=Score(model, value, None, (fold,), encoder.fingerprint(), place=context.place),
            baselines=(),
            classes=targets.classes,
            classes_scored=present,
            multilabel=targets.multilabel,
            coverage=Coverage(len(plan.whole), len(plan.whole) - len(plan.candidates), len(failed), 0, len(clips)),
            predictions=make_predictions(
                [(c.id, PART, tuple(sorted(set(c.labels)))) for c in clips], scores, targets.classes
            ),
            interval=bootstrap_interval(metric, scores, values),
            failed=failed,
            settings=as_plain(
                {"task": plan.task.with_absolute_paths(), "encode": context.encode, "text": context.text}
            ),
            environment=environment(),
            command=context.command,
            identity=task_identity(clips, values, [split], plan.task.seconds, by_id=self.entry.entry.at_several_rates),
            class_scores=class_values(scores, values, targets.classes, targets.multilabel),
            all_scores=scores.astype(np.float32),
            version=self.version,
        )


def _nothing_embedded(count: int, failed: Mapping[str, str]) -> AuricleError:
    return AuricleError(f"none of the {count} recordings could be embedded; the first: {next(iter(failed.values()))}")


@dataclass(frozen=True)
class RetrievalTask(SuiteTask):
    """Sounds and their captions.

    Attributes:
        name: Name of the task.
        source: Folder of the recordings.
        table: Table with the columns ``file_name``, ``caption`` and maybe ``split``: then the test part.
        file: The suite's file.
        url: Where the recordings are published.
    """

    name: str
    source: str
    table: str
    file: SuiteFile
    url: str = ""

    @classmethod
    def read(cls, record: TaskRecord) -> RetrievalTask:
        """Make the task of a record: ``name``, ``source`` and ``labels``."""
        record.only("name", "source", "labels", "url")
        source, table = record.get("source"), record.get("labels")
        if not source or not table:
            raise record.file.fault("a retrieval task needs 'source', a folder, and 'labels', a table of captions")
        return cls(record.get("name") or Path(table).stem, source, table, record.file, record.get("url") or "")

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        root = self.file.under(data)
        source, table = (root / Path(path).expanduser() for path in (self.source, self.table))
        return [RetrievalWork(self.name, source, table, self.url)]


@dataclass(frozen=True)
class RetrievalWork(Work):
    """Retrieval in both directions; every sound at its full length."""

    name: str
    source: Path
    table: Path
    url: str = ""

    protocol = "retrieval"
    version = "1"

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.name

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """The captions of every recording of the test part. Raises MissingData or AuricleError."""
        from auricle.data.manifest.manifest import TEST_SPLITS
        from auricle.data.published.base import rows_of

        for path in (self.source, self.table):
            if not path.exists():
                raise MissingData(not_there(path, self.url))
        found: dict[str, list[str]] = {}
        for row in rows_of(self.table, "file_name", "caption"):
            if (row.get("split") or TEST_SPLITS[0]).lower() in TEST_SPLITS:
                found.setdefault(row["file_name"], []).append(row["caption"])
        if not found:
            raise AuricleError(f"{self.table} lists no recording of a test part")
        return found

    @cached_property
    def clips(self) -> Manifest:
        from auricle.data.manifest.manifest import Clip, Manifest

        return Manifest([Clip(name, path=name) for name in self.captions], self.source.resolve())

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of, stamps_hash

        return hash_of({"captions": self.captions, "files": stamps_hash(self.clips)})

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        from auricle.embeddings.cache import EmbeddingCache
        from auricle.evaluation.suites.rows import with_scores
        from auricle.evaluation.text_side import caption_vectors, similarity, sound_vectors, text_side
        from auricle.inference.config import EmbedSettings
        from auricle.metrics.retrieval import retrieval_scores

        context.own_statistics_only("retrieval")
        side, cache = text_side(context.text, encoder), context.cache or EmbeddingCache()
        settings = EmbedSettings(**vars(context.encode))
        embedded = cache.embed(self.clips, encoder, settings, what=encoder.info.name, quiet=context.quiet)
        if not embedded.ids:
            raise _nothing_embedded(len(self.clips), embedded.failed)
        texts = [(row, text) for row, id in enumerate(embedded.ids) for text in self.captions[id]]
        vectors = caption_vectors(side, [text for _, text in texts])
        scores = retrieval_scores(
            similarity(sound_vectors(side, embedded.clip), vectors), np.array([row for row, _ in texts])
        )
        first = self._row(encoder, context, len(embedded.ids), len(embedded.failed))
        rows = [with_scores(first, name, {f"{PART} / 0": value}) for name, value in scores.items()]
        return Measured(tuple(rows), None, embedded.failed)

    def _row(self, encoder: Encoder, context: WorkContext, sounds: int, failed: int) -> Any:
        from auricle.evaluation.identity import TaskIdentity
        from auricle.evaluation.suites.rows import unreadable_note, work_row

        digits = self.fingerprint()[:16]
        identity = TaskIdentity(sounds, 0, PART, "whole clips", clips=digits, labels=digits, split=digits)
        return replace(work_row(self, encoder, context, identity), notes=unreadable_note(failed))
