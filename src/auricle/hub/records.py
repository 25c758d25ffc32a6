"""The table of weights by name, as data. Each family adds its rows; ``auricle.models()`` prints them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.models.contract import Encoder


@dataclass(frozen=True)
class Record:
    """One published weight: what it is, where it comes from, what its authors say of it.

    reader builds the encoder from a local file (None for an encoder that needs none).
    """

    name: str
    family: str
    summary: str
    licence: str = "not stated"
    source: str = ""
    file: str = ""
    score: str = ""
    sha256: str = ""
    build: Callable[[], Encoder] | None = None
    reader: Callable[[Path], Encoder] | None = None

    def load(self) -> Encoder:
        if self.build is not None:
            return self.build()
        raise AuricleError(f"'{self.name}' needs its weight file {self.file}; pass weights=FILE (from {self.source})")

    def read(self, path: Path) -> Encoder:
        if self.reader is None:
            raise AuricleError(f"'{self.name}' has no weights to read from {path}")
        encoder = self.reader(path)
        encoder.rename(name=self.name, licence=self.licence, source=self.source)
        return encoder

    def row(self) -> dict[str, Any]:
        return {
            k: getattr(self, k) for k in ("name", "family", "summary", "licence", "source", "file", "score", "sha256")
        }


def _logmel_stats() -> Encoder:
    from auricle.models.logmel_stats import LogMelStats

    return LogMelStats().eval()


RECORDS: tuple[Record, ...] = (
    Record(
        "logmel-stats",
        "logmel-stats",
        "mean and deviation of a 128-band log-mel spectrogram at 32 kHz: the floor of every probe",
        licence="Apache-2.0",
        source="computed, no weights",
        build=_logmel_stats,
    ),
)


class Table(tuple):
    """Records, printed as a table."""

    def __str__(self) -> str:
        columns = ("name", "family", "score", "licence", "summary")
        rows = [columns, *(tuple(str(getattr(r, c)) for c in columns) for r in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)

    __repr__ = __str__


def table(family: str | None = None) -> Table:
    """All records, or those of one family."""
    return Table(record for record in RECORDS if family is None or record.family == family)


def find(name: str) -> Record | None:
    return next((record for record in RECORDS if record.name == name), None)


def get(name: str) -> Record:
    """The record of a name. Raises AuricleError naming the nearest known ones."""
    record = find(name)
    if record is None:
        hint = nearest(name, tuple(r.name for r in RECORDS))
        raise AuricleError(f"'{name}' is neither a known model nor a file or run folder here{hint}")
    return record
