"""The adapter of SUPERB: a frozen encoder, a learnt sum of its layers and the head of a task.

  - {name: KS, adapter: superb, dataset: speechcommands-v1}
  - {name: digits, adapter: superb, task: KS, source: fsdd/audio, labels: fsdd/meta.csv, label_column: digit, split_by: split,
     words: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], steps: 2000}
  - {name: IC, adapter: superb, source: fluent/clips.csv, recipe: m2d}

``task`` (default: the name) is KS, IC, SID, ER, PR or ASV; ``recipe`` whose settings are taken (``settings.RECIPES``); ``steps``,
``batch_size``, ``accumulate``, ``lr``, ``check_every`` replace single ones.

Source: [evaluation 6.4](docs/specification/evaluation.md#s6-4).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

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
from auricle.evaluation.suites.superb.settings import SUPERB, HeadSettings, head_settings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.suites.superb.clips import TaskClips
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

NUMBERS = {"steps": int, "batch_size": int, "accumulate": int, "check_every": int, "lr": float}
PATHS = ("source", "labels", "noise", "lexicon", "trials")
WORDS = ("label_column", "group_column", "dataset", "folder", "split_by", "url")
SEED = 42
LEARNT = "superb-head.json"


@dataclass(frozen=True)
class SuperbTask(SuiteTask):
    """A task of SUPERB on labelled clips.

    Attributes:
        name: Name of the task in results.
        file: The suite's file.
        task: KS, IC, SID, ER, PR or ASV.
        recipe: Name of the settings.
        settings: The settings.
        values: ``source``, ``labels``, … of the record.
        words: Words of KS; () for the ten of Speech Commands.
        seeds: Seeds of initialisation and order.
    """

    name: str
    file: SuiteFile
    task: str
    recipe: str
    settings: HeadSettings
    values: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (SEED,)

    @classmethod
    def read(cls, record: TaskRecord) -> SuperbTask:
        """Make the task of a record. Raises AuricleError for unknown tasks, recipes and settings."""
        record.only("name", "task", "recipe", "words", *NUMBERS, *PATHS, *WORDS)
        name = record.get("name") or record.get("task") or ""
        task, recipe = record.get("task") or name, record.get("recipe") or "superb"
        if task not in SUPERB:
            raise record.file.fault(
                f"unknown task '{task}' of SUPERB{nearest(task, tuple(SUPERB))}; {', '.join(SUPERB)}"
            )
        values = {key: text for key in (*PATHS, *WORDS) if (text := record.get(key))}
        if not (values.get("source") or values.get("dataset")):
            raise record.file.fault(f"{name} needs a 'source' or a 'dataset', found {dict(record.values)!r}")
        words = record.get("words", list, [])
        given = {key: record.get(key, (int, float) if kind is float else int) for key, kind in NUMBERS.items()}
        if not given["lr"] and isinstance(record.file.shared.get("lr"), float):
            given["lr"] = record.file.shared["lr"]
        if wrong := [key for key, value in given.items() if value is not None and value <= 0]:
            raise record.file.fault(f"{wrong[0]} should be above 0, found {given[wrong[0]]}")
        try:
            settings = replace(head_settings(task, recipe), **{key: v for key, v in given.items() if v is not None})
        except AuricleError as error:
            raise record.file.fault(str(error)) from None
        seeds = record.file.shared.get("seeds", (SEED,))
        return cls(name, record.file, task, recipe, settings, (*values.items(),), (*map(str, words),), seeds)

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        return [SuperbWork(self, data)]

    @property
    def is_changed(self) -> bool:
        """Whether a setting is not that of the recipe."""
        return self.settings != head_settings(self.task, self.recipe)


@dataclass(frozen=True)
class SuperbWork(Work):
    """One task."""

    entry: SuperbTask
    data: str | None = None

    version = "1"

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.entry.name

    @property
    def protocol(self) -> str:  # type: ignore[override]
        settings, of = self.entry.settings, "" if self.entry.recipe == "superb" else f", as {self.entry.recipe}"
        changed = f", {settings.steps} steps, lr {settings.lr:g}" if self.entry.is_changed else ""
        return f"superb{of}{changed}"

    @cached_property
    def clips(self) -> TaskClips:
        """Clips, targets and splits. Raises MissingData, or AuricleError for data that cannot be used."""
        from auricle.evaluation.suites.superb import clips as make

        manifest, values = self._manifest(), dict(self.entry.values)
        by = values.get("split_by", "auto")
        if self.entry.task == "KS":
            words = self.entry.words or make.WORDS
            return make.keyword_clips(manifest, words, self._noise(manifest), "split" if by == "auto" else by)
        if self.entry.task == "IC":
            return make.slot_clips(manifest, by)
        if self.entry.task == "PR":
            return make.phone_clips(manifest, self._path("lexicon"))
        if self.entry.task == "ASV":
            trials = self._path("trials")
            if trials is None:
                raise AuricleError(f"{self.task} needs 'trials', a list of 0 or 1 and two file names a line")
            return make.speaker_clips(manifest, trials)
        return make.labelled_clips(manifest, by)

    def _path(self, name: str) -> Path | None:
        """A path of the record. Raises MissingData where nothing is there."""
        values = dict(self.entry.values)
        if not values.get(name):
            return None
        path = self.entry.file.under(self.data) / Path(values[name]).expanduser()
        if not path.exists():
            from auricle.evaluation.suites.probe_tasks import not_there

            raise MissingData(not_there(path, values.get("url", "")))
        return path

    def _manifest(self) -> Manifest:
        values = dict(self.entry.values)
        if not values.get("source"):
            return self._published(values["dataset"], values.get("folder") or values["dataset"])
        from auricle.data.manifest.formats import read_manifest

        source, labels = self._path("source"), self._path("labels")
        assert source is not None
        columns = {name: values.get(name) for name in ("label_column", "group_column")}
        return read_manifest(source, labels=labels, **columns)  # type: ignore[arg-type]

    def _published(self, name: str, folder: str) -> Manifest:
        from auricle.data.published.base import read_published
        from auricle.data.published.table import published_dataset
        from auricle.evaluation.suites.probe_tasks import dataset_folder

        return read_published(published_dataset(name), dataset_folder(name, folder, self.data)).manifest

    def _noise(self, words: Manifest) -> Manifest | None:
        """The recordings of noise: those of the record, else of the data set's own folder."""
        from auricle.data.manifest.formats import read_manifest
        from auricle.evaluation.suites.superb.clips import NOISE

        place = self._path("noise")
        if place is None and (words.root / NOISE).is_dir():
            place = words.root / NOISE
        return None if place is None else read_manifest(place)

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of, stamps_hash

        found = self.clips
        rows = [[c.id, c.path, c.start, c.end, target.tolist()] for c, target in zip(found.clips, found.targets)]
        parts = [[s.name, s.train.tolist(), s.valid.tolist(), s.test.tolist()] for s in found.splits]
        settings = [self.entry.task, asdict(self.entry.settings), list(self.entry.seeds), found.trials.tolist()]
        return hash_of({"clips": rows, "parts": parts, "settings": settings, "files": stamps_hash(found.clips)})

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        from auricle.evaluation.identity import task_identity
        from auricle.evaluation.suites.rows import ratio_of_test_clips, unreadable_note, with_scores, work_row
        from auricle.evaluation.suites.superb.scoring import measure_task

        start, found, settings = time.perf_counter(), self.clips, self.entry.settings
        rounds, failed = measure_task(encoder, found, settings, self.entry.seeds, context)
        identity = task_identity(found.clips, found.labels, found.splits, None, by_id=True)
        row = replace(
            work_row(self, encoder, context, identity, from_embeddings=False),  # its own sum of layers
            seconds=time.perf_counter() - start,
            test_ratio=ratio_of_test_clips(found.splits),
            notes=(*unreadable_note(len(failed)), *found.notes),
        )
        row = with_scores(row, settings.metric, {f"{r.split} / {r.seed}": r.score for r in rounds})
        learnt = [{**asdict(r), "settings": asdict(settings)} for r in rounds]
        return Measured((row,), None, failed, files={LEARNT: dumps(learnt, indent=1)})
