"""A task as data: which clips, which labels, how long, how it is cut into folds, how it is scored. No PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, option
from auricle.data.manifest.manifest import Manifest

SEEDS = (42, 43, 44)  # of the probes that draw: specification evaluation 2.7
FOLDINGS = ("auto", "folds", "split", "groups", "drawn")
METRICS = ("auto", "accuracy", "balanced-accuracy", "mAP", "roc-auc", "d-prime")


@dataclass(frozen=True)
class Task:
    """``Task("esc10/audio", labels="esc10/meta.csv", seconds=5.0)`` is ESC-10 with its five folds."""

    source: str = argument(
        "labelled audio: a folder (one subfolder per class, or with --labels), a table, a prepared folder"
    )
    labels: str | None = option(None, "table of labels, joined to the folder by file name")
    label_column: str | None = option(None, "column of that table that holds the label")
    group_column: str | None = option(None, "column of the group (speaker, patient) that folds must not split")
    folding: str = option(
        "auto",
        "folds, split or groups of the table, or five drawn folds; auto: the first that is there",
        choices=FOLDINGS,
    )
    metric: str = option("auto", "auto: accuracy, or mAP where clips have several labels", choices=METRICS)
    seconds: float = option(0.0, "cut every clip to this many seconds, zero-padding shorter ones; 0: as it is")
    name: str = option("", "name of the task in results; empty: made from the table's or folder's name")

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.seconds < float("inf"):
            raise AuricleError(f"--seconds must be positive (or 0 for whole clips), got {self.seconds}")

    def manifest(self) -> Manifest:
        """The task's clips. Raises AuricleError for whatever is wrong with the table."""
        from auricle.data.manifest.formats import read_manifest

        columns = {"label_column": self.label_column, "group_column": self.group_column}
        return read_manifest(self.source, labels=self.labels, **columns)

    def anywhere(self) -> Task:
        """The same task with absolute paths, which hold in every working folder."""
        absolute = {k: str(Path(v).expanduser().resolve()) for k in ("source", "labels") if (v := getattr(self, k))}
        return replace(self, name=self.title, **absolute)  # type: ignore[arg-type]

    @property
    def title(self) -> str:
        """ "esc10", or "fsdd/digit, groups": how results call the task."""
        if self.name:
            return self.name
        path = Path(self.labels or self.source).expanduser().resolve()
        plain = ("audio", "meta", "metadata", "labels", "manifest", "index", "wav", "wavs", "data")
        stem = path.stem if path.suffix in (".csv", ".tsv", ".parquet") else path.name
        title = path.parent.name if stem.lower() in plain else stem
        title += f"/{self.label_column}" if self.label_column else ""
        title += f", {self.folding}" if self.folding != "auto" else ""
        return f"{title}, {self.seconds:g} s" if self.seconds else title
