"""One published weight as data: where it comes from, what its file does not say, what its authors say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from auricle.core.options import as_plain
from auricle.data.audioset import audioset_classes, audioset_classes_by_id
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.m2d.config import ViTConfig
from auricle.models.mae_ast.config import MAEASTConfig

Config = MNConfig | DyMNConfig | ViTConfig | MAEASTConfig
Classes = tuple[tuple[str, str], ...]
CLASS_LISTS: dict[str, Callable[[], Classes]] = {
    "audioset": audioset_classes,
    "audioset-by-id": audioset_classes_by_id,
}


@dataclass(frozen=True)
class Record:
    """A row of the table of published weights.

    config          the network; None for an encoder without weights
    urls            mirrors of the file or archive, in the order they are tried; none: nothing to download
    folder, file    ``file`` is the weight file's name; in an archive it stands in ``folder`` ("" where not in one, and
                    ``file`` is "" where the name inside the archive is not known)
    class_list      "audioset" or "audioset-by-id": the classes in the order of the logits; "" where the outputs are no
                    classes of sound
    parameters      number of trained parameters of the encoder
    release         tag of the release that holds it
    statistics      mean and deviation that its input is normalised with, as far as known
    score           mean average precision on the AudioSet evaluation set, as published
    scores          what its authors measured after fine-tuning it, by task
    aliases         other names that find it
    use             what its authors recommend it for
    further         whether pre-training can go on from it (None: does not apply)
    note            what a user must know; shown by ``auricle models show`` and ``get``
    papers          keys of ``hub.citations``
    """

    name: str
    family: str
    summary: str
    config: Config | None = None
    urls: tuple[str, ...] = ()
    folder: str = ""
    file: str = ""
    size: int | None = None
    sha256: str = ""
    class_list: str = ""
    label_type: Literal["multilabel", "multiclass"] | None = None
    parameters: int | None = None
    front_end: str = ""
    release: str = ""
    statistics: str = ""
    score: float | None = None
    scores: tuple[tuple[str, float], ...] = ()
    aliases: tuple[str, ...] = ()
    licence: str = "not stated"
    source: str = ""
    use: str = ""
    further: bool | None = None
    note: str = ""
    papers: tuple[str, ...] = ()

    @property
    def classes(self) -> Classes | None:
        """(id, name) in the order of the logits."""
        return CLASS_LISTS[self.class_list]() if self.class_list else None

    @property
    def architecture(self) -> dict[str, Any]:
        """From which ``hub.families`` builds the network; M2D's published classifiers read the mean patch token."""
        said: dict[str, Any] = {"family": self.family, "config": as_plain(self.config)}
        if self.family == "m2d" and self.classes:
            said["head"] = {"num_classes": len(self.classes), "pools": "tokens"}
        return said

    def row(self) -> dict[str, Any]:
        """Everything as JSON values; classes by their number."""
        values = {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "class_list"}
        return values | {"classes": len(self.classes or ()), "class_order": self.class_list}


class Table(tuple[Record, ...]):
    """Records, printed as a table; ``markdown()`` writes it for a page."""

    COLUMNS = ("name", "family", "mAP", "parameters", "licence", "summary")

    def cells(self) -> list[tuple[str, ...]]:
        return [_cells(record) for record in self]

    def __str__(self) -> str:
        rows = [self.COLUMNS, *self.cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.COLUMNS))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)

    __repr__ = __str__

    def markdown(self) -> str:
        rule = tuple("---" for _ in self.COLUMNS)
        return "\n".join(_line(row) for row in (self.COLUMNS, rule, *self.cells()))


def _cells(record: Record) -> tuple[str, ...]:
    score = "" if record.score is None else f"{record.score:.3f}"
    count = "" if record.parameters is None else f"{record.parameters / 1e6:.2f} M"
    return record.name, record.family, score, count, record.licence, record.summary


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
