"""``Task``: which clips, what is to be predicted, how clips are split, and which metric scores it. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, option, paths_as_text
from auricle.data.manifest.manifest import Manifest
from auricle.evaluation.splits import SPLIT_BY, Split, make_splits
from auricle.evaluation.targets import Targets, targets_of
from auricle.metrics.table import METRICS, TASK_KINDS, metric, metric_name

SEEDS = (42, 43, 44)  # of the probes that draw: [evaluation 2.7](docs/specification/evaluation.md#s2-7)
CONTAINER_NAMES = ("audio", "meta", "metadata", "labels", "manifest", "index", "wav", "wavs", "data")


@dataclass(frozen=True)
class Task:
    """A labelled set of clips and how it is measured.

    Example:
        ``Task("esc10/audio", labels="esc10/meta.csv", seconds=5.0)`` is ESC-10 with its five folds.
    """

    OLD_NAMES: ClassVar[dict[str, str]] = {"folding": "split_by"}  # in saved evaluations and suites

    source: str = argument(
        "labelled audio: a folder (one subfolder per class, or with --labels), a table, a prepared folder", default=""
    )
    labels: str | None = option(None, "table of labels, joined to the folder by file name")
    label_column: str | None = option(None, "column of that table that holds the label")
    group_column: str | None = option(None, "column of the group (speaker, patient) that no split divides")
    kind: str = option(
        "auto",
        "what is predicted; auto: multilabel where a clip has several labels",
        choices=("auto", *TASK_KINDS),
        advanced=True,
    )
    split_by: str = option(
        "auto",
        "folds, split or groups of the table, or five drawn folds; auto: the first of folds, split, groups that it has, else drawn",
        choices=SPLIT_BY,
    )
    metric: str = option("auto", f"{', '.join(METRICS)}; auto: accuracy, or mAP where clips have several labels")
    seconds: float | None = option(
        None,
        "cut clips to this many seconds, zero-pad shorter ones; none: whole clips",
        special={"none": None},
        old={0: None},
    )
    name: str = option(
        "", "name of the task in results; default: made from the table's or folder's name", advanced=True
    )

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        if self.metric != "auto":
            object.__setattr__(self, "metric", metric_name(self.metric))  # the first edition wrote hyphens
            metric(self.metric, "" if self.kind == "auto" else self.kind)
        if self.seconds == 0:  # the first edition's value for "whole clips"
            object.__setattr__(self, "seconds", None)
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise AuricleError(f"--seconds must be positive, or none for whole clips; got {self.seconds}")

    def manifest(self) -> Manifest:
        """Read the task's clips. Raises AuricleError for a table or folder that cannot be read."""
        from auricle.data.manifest.formats import read_manifest

        return read_manifest(
            self.source, labels=self.labels, label_column=self.label_column, group_column=self.group_column
        )

    def targets(self, manifest: Manifest) -> Targets:
        """Read what is to be predicted of the clips, a row per clip."""
        return targets_of(manifest, self.kind, self.metric)

    def splits(self, manifest: Manifest, targets: Targets) -> list[Split]:
        """Split the clips into training, validation and test rows."""
        return make_splits(manifest, targets, self.split_by)

    def with_absolute_paths(self) -> Task:
        """Return the same task with paths that hold in every working folder."""
        paths = {k: str(Path(v).expanduser().resolve()) for k in ("source", "labels") if (v := getattr(self, k))}
        return replace(self, name=self.title, **paths)  # type: ignore[arg-type]

    @property
    def title(self) -> str:
        """The name in results, such as "esc10" or "fsdd/digit, groups"."""
        if self.name:
            return self.name
        path = Path(self.labels or self.source).expanduser().resolve()
        stem = path.stem if path.suffix in (".csv", ".tsv", ".parquet") else path.name
        title = path.parent.name if stem.lower() in CONTAINER_NAMES else stem
        title += f"/{self.label_column}" if self.label_column else ""
        title += f", {self.split_by}" if self.split_by != "auto" else ""
        return f"{title}, {self.seconds:g} s" if self.seconds else title
