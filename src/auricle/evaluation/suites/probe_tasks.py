"""The adapter of probes: a labelled set of clips, embeddings of a frozen encoder, a probe. The default of every record.

  - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [linear, knn]}
  - {name: cremad, dataset: cremad, seconds: 2.5, split_by: split, protocols: [evar]}

A record holds the settings of a ``Task``, names of protocols, and where there is one the published data set (``dataset``, a
name of ``auricle prepare --help``; ``folder``: of its folder, where that has another name), else the ``url`` of the data. Where
``source`` is not there, the data set's own folder is read in its official layout.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.options import from_plain
from auricle.evaluation.probes.evar import LEARNING_RATE, PUBLISHED_RATES
from auricle.evaluation.protocols import Protocol, protocol
from auricle.evaluation.suites.contract import (
    Measured,
    MissingData,
    SuiteFile,
    SuiteTask,
    TaskRecord,
    Work,
    WorkContext,
)
from auricle.evaluation.tasks import SEEDS, Task

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.scoring import TaskPlan
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

DEFAULT_PROTOCOLS = ("logistic",)
PLACES = ("dataset", "folder", "url")


@dataclass(frozen=True)
class ProbeTask(SuiteTask):
    """A task that probes measure.

    Attributes:
        name: Name of the task.
        task: The task; its paths are relative to ``file.root``.
        protocols: Names of the protocols that measure it.
        seeds: Seeds of probes that draw.
        lr: Learning rate of the protocols that have one; "published" for EVAR's own; None for the protocol's.
        file: The suite's file.
        dataset: Published data set that it is made of; "" for none.
        folder: Name of the data set's folder.
        url: Where the data are published, of a task without such a data set.
    """

    name: str
    task: Task
    protocols: tuple[str, ...]
    file: SuiteFile
    seeds: tuple[int, ...] = SEEDS
    lr: float | str | None = None
    dataset: str = ""
    folder: str = ""
    url: str = ""

    @classmethod
    def read(cls, record: TaskRecord) -> ProbeTask:
        """Make the task of a record: the settings of a ``Task``, ``protocols``, ``dataset`` and ``folder``."""
        values, file = dict(record.values), record.file
        if not (values.get("source") or values.get("dataset")):
            raise file.fault(f"every task needs a 'source' or a 'dataset', found {values!r}")
        names = _protocols(values.pop("protocols", DEFAULT_PROTOCOLS), file)
        dataset, folder, url = (str(record.get(name) or "") for name in PLACES)
        values = {name: value for name, value in values.items() if name not in PLACES}
        if dataset:
            from auricle.data.published.table import published_dataset

            published_dataset(dataset)
        _check_settings(values, file)
        task = from_plain(Task, values, str(file.path))
        shared = {name: file.shared[name] for name in ("seeds", "lr") if name in file.shared}
        name = task.name or dataset or replace(task, source=str(file.root / task.source)).title
        return cls(name, task, names, file, dataset=dataset, folder=folder or dataset, url=url, **shared)

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        return [ProbeWork(self, chosen, model.sample_rate, data) for chosen in self.protocols_for(model.family)]

    def protocols_for(self, family: str) -> tuple[Protocol, ...]:
        """Return the protocols for an encoder of ``family``, with the learning rate of the suite."""
        lr = PUBLISHED_RATES.get(family, LEARNING_RATE) if isinstance(self.lr, str) else self.lr
        return tuple(p.with_lr(lr) if lr and p.has_lr else p for p in map(protocol, self.protocols))

    @property
    def at_several_rates(self) -> bool:
        """True if the files are kept at several sample rates: then ids tell the clips apart, not their content."""
        return any("{rate}" in (path or "") for path in (self.task.source, self.task.labels))

    def task_at(self, rate: int, data: str | None = None) -> Task:
        """Return the task for a model of ``rate`` hertz, with absolute paths."""
        root = self.file.under(data)
        paths = {name: path for name in ("source", "labels") if (path := getattr(self.task, name))}
        return replace(
            self.task,
            name=self.name,
            **{
                name: str((root / Path(path.replace("{rate}", f"{rate // 1000}k")).expanduser()).resolve())
                for name, path in paths.items()
            },  # type: ignore[arg-type]
        )


def not_there(path: Path | str, url: str = "") -> str:
    """Return the message on data that are not there."""
    where = f". They are published at {url}" if url else ""
    return f"the data are not there: {path} does not exist; --data FOLDER names another folder{where}"


def dataset_folder(dataset: str, folder: str, data: str | None, lacking: str = "") -> Path:
    """Return the official folder of a published data set.

    Args:
        dataset: Name of the data set.
        folder: Name of its folder.
        data: Folder of the data sets that the user named; None: the usual one.
        lacking: A place that was looked at before, for the message.

    Raises:
        MissingData: It is not there; the message says where it is published.
    """
    from auricle.data.published.folders import dataset_title, datasets_root, where_from

    place = (Path(data).expanduser() if data else datasets_root()) / folder
    if not place.is_dir():
        absent = f"neither {lacking} nor {place} exists" if lacking else f"{place} does not exist"
        raise MissingData(
            f"{dataset_title(dataset)} is not there ({absent}). {where_from(dataset)}. --data FOLDER names the folder that holds "
            f"it as '{folder}'"
        )
    return place


def _protocols(names: Any, file: SuiteFile) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise file.fault(f"protocols should be a list of names such as [linear], found {names!r}")
    for name in names:
        protocol(name)
    return tuple(names)


def _check_settings(values: dict[str, Any], file: SuiteFile) -> None:
    known = {f.name for f in fields(Task)}
    unknown = sorted(map(str, values.keys() - known - Task.OLD_NAMES.keys()))
    if unknown:
        raise file.fault(
            f"unknown setting {', '.join(unknown)}; a task has {', '.join(sorted(known))}, protocols, {', '.join(PLACES)}"
        )
    for name, value in values.items():
        wanted: Any = (int, float) if name == "seconds" else str
        if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
            kind = "a number of seconds" if name == "seconds" else "text"
            raise file.fault(f"{name} should be {kind}, found {value!r}")


@dataclass(frozen=True)
class ProbeWork(Work):
    """One task by one probe, for models of one sample rate."""

    entry: ProbeTask
    chosen: Protocol
    rate: int
    data: str | None = None

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.entry.name

    @property
    def protocol(self) -> str:  # type: ignore[override]
        return self.chosen.name

    @property
    def version(self) -> str:  # type: ignore[override]
        return self.chosen.version

    @cached_property
    def plan(self) -> TaskPlan:
        """Clips, labels and splits. Raises MissingData, or AuricleError for data that cannot be used."""
        from auricle.evaluation.scoring import TaskPlan

        task, manifest = self._clips()
        return TaskPlan.of(task, manifest, few_shot=self.chosen.few_shot)

    def _clips(self) -> tuple[Task, Manifest | None]:
        """The task, and the clips where they are read from a published data set's folder."""
        task = self.entry.task_at(self.rate, self.data)
        places = [path for path in (task.source, task.labels) if path]
        lacking = next((path for path in places if not Path(path).exists()), "" if places else "its folder")
        if not lacking:
            return task, None
        if not self.entry.dataset:
            raise MissingData(not_there(lacking, self.entry.url))
        from auricle.data.published.base import read_published
        from auricle.data.published.table import published_dataset

        folder = dataset_folder(self.entry.dataset, self.entry.folder, self.data, lacking if places else "")
        dataset = published_dataset(self.entry.dataset)
        manifest = read_published(dataset, folder).manifest
        if task.split_by == "split" and not any(manifest.table.values("split")):
            raise MissingData(f"the split of {dataset.title} is not in {folder}. {dataset.note or dataset.layout}")
        return replace(task, source=str(folder), labels=None), manifest

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of, stamps_hash

        plan = self.plan
        clips = plan.candidates
        rows = [[c.id, c.path, c.store, c.key, c.start, c.end, sorted(set(c.labels))] for c in clips]
        parts = [[s.name, s.train.tolist(), s.valid.tolist(), s.test.tolist()] for s in plan.split.splits]
        settings = [plan.split.metric, plan.task.seconds, list(self.entry.seeds) if self.chosen.seeded else []]
        return hash_of({"clips": rows, "parts": parts, "settings": settings, "files": stamps_hash(clips)})

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        from auricle.evaluation.result_rows import rows_of
        from auricle.evaluation.runner import evaluate

        evaluation = evaluate(
            encoder,
            self.plan,
            self.chosen,
            cache=context.cache,
            encode=context.encode,
            seeds=self.entry.seeds,
            baselines=context.baselines,
            statistics=context.statistics,
            place=context.place,
            clips_by_id=self.entry.at_several_rates,
            command=context.command,
            quiet=context.quiet,
        )
        return Measured(tuple(rows_of(evaluation)), evaluation, evaluation.failed)
