"""The clips of a manifest: one of them, all of them as columns of which a row makes a Clip when it is read, and one clip of
several rows about the same file (a row per event, or per label).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain, islice, repeat
from operator import attrgetter
from typing import Any, NamedTuple, overload

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.columns import (
    CategoryBuilder,
    CategoryColumn,
    Column,
    ListBuilder,
    ListColumn,
    NumberBuilder,
    NumberColumn,
    TextBuilder,
    TextColumn,
    present_codes,
)

TAR_SUFFIXES = (".tar",)
ARCHIVES = (".hdf", ".hdf5", ".h5", *TAR_SUFFIXES)  # suffixes of a ``store`` that holds encoded audio


class Segment(NamedTuple):
    """A labelled part of a clip; onset and offset in seconds from the start of the recording."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Clip:
    """One row. Its audio is ``path`` (relative to the manifest's root, or absolute), its stored form ``store``/``key``.

    Attributes:
        id: Unique name. By default the path, with ``@start-end`` added for a part of a recording.
        path: File of the recording.
        store: Folder or archive that holds the stored form (a spectrogram, encoded audio), relative to the root; of tar shards
            also an address such as ``s3://bucket/clips-000000.tar``.
        key: Name of the stored form inside ``store``.
        start: Where the clip begins in the recording, in seconds (None: at the first sample).
        end: Where the clip ends in the recording, in seconds (None: at the last sample).
        rate: Sample rate of the recording in hertz.
        num_samples: Length of the whole recording at ``rate``, before any crop.
        labels: Classes that apply.
        known: Classes that were annotated at all (None: every class).
        events: Labelled parts of the clip.
        transcript: What is spoken.
        split: Name of the part of the data, such as ``train``.
        fold: Number of the part in cross-validation.
        group: Speaker, patient or site; a group must not be split between parts.
        weight: How often sampling picks the clip, relative to the others.
    """

    id: str
    path: str | None = None
    store: str | None = None
    key: str | None = None
    start: float | None = None
    end: float | None = None
    rate: int | None = None
    num_samples: int | None = None
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    events: tuple[Segment, ...] = ()
    transcript: str | None = None
    split: str | None = None
    fold: int | None = None
    group: str | None = None
    weight: float = 1.0

    @property
    def in_archive(self) -> bool:
        """True if the recording is encoded audio in an archive (HDF5, tar): ``key`` is its name there."""
        return self.store is not None and self.store.lower().endswith(ARCHIVES)

    @property
    def has_spectrogram(self) -> bool:
        """True if ``store`` and ``key`` name a stored spectrogram."""
        return self.key is not None and not self.in_archive

    @property
    def seconds(self) -> float | None:
        """Length of the clip in seconds, or None where the manifest does not give it."""
        end = self.end
        if end is None and self.rate and self.num_samples is not None:
            end = self.num_samples / self.rate
        return None if end is None else end - (self.start or 0.0)


FIELDS = tuple(f.name for f in fields(Clip))
DEFAULTS = {f.name: f.default for f in fields(Clip)} | {"id": None}  # an id has none


CHUNK = 1024  # rows that are turned into Python objects at a time


class ClipTable(Sequence[Clip]):
    """An immutable sequence of clips, stored as columns. A column whose rows all hold the default is not stored.

    Args:
        count: Number of rows.
        columns: Columns by field name, each of ``count`` rows; must include ``id`` unless there are no rows.
        unique: True if the ids are already known to be unique.
    """

    def __init__(self, count: int, columns: Mapping[str, Column], unique: bool = False):
        self._length, self.columns, self._unique = count, dict(columns), unique

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> ClipTable:
        """Make a table of clips; it does not hold the Clip objects."""
        if isinstance(clips, ClipTable):
            return clips
        builder = TableBuilder()
        builder.add_clips(clips)
        return builder.table()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> Clip: ...

    @overload
    def __getitem__(self, row: slice) -> ClipTable: ...

    def __getitem__(self, row: int | slice) -> Clip | ClipTable:
        if isinstance(row, slice):
            return self.take(np.arange(self._length)[row])
        row = range(self._length)[row]
        return Clip(**{name: column[row] for name, column in self.columns.items()})

    def __iter__(self) -> Iterator[Clip]:
        return (Clip(*values) for values in self.rows(*FIELDS))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other))

    def __repr__(self) -> str:
        return f"<ClipTable of {self._length} clips with {', '.join(self.columns)}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_index"}

    def rows(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Iterate over the values of these fields, one tuple per row."""
        return zip(*map(self.values, names))

    def values(self, name: str) -> Iterator[Any]:
        """Iterate over the values of a field."""
        column = self.columns.get(name)
        if column is None:
            return repeat(DEFAULTS[name], self._length)
        starts = range(0, self._length, CHUNK)
        return chain.from_iterable(column.values(start, min(start + CHUNK, self._length)) for start in starts)

    def numbers(self, name: str) -> np.ndarray:
        """Return a field of numbers as an array (N,): float64 with NaN for None, or int64 with ``columns.MISSING``."""
        column = self._column(name)
        assert isinstance(column, NumberColumn), f"{name} is no column of numbers"
        return column.array

    def seconds(self) -> np.ndarray:
        """Return the length of every clip in seconds, (N,) float64, NaN where the table does not hold it."""
        start, end = self.numbers("start"), self.numbers("end").copy()
        rate, samples = self.numbers("rate"), self.numbers("num_samples")
        known = np.isnan(end) & (rate > 0) & (samples >= 0)
        end[known] = samples[known] / rate[known]
        return end - np.nan_to_num(start)

    def distinct(self, name: str) -> list[Any]:
        """Return the distinct values of a field; for labels and known, the distinct names in them."""
        column = self.columns.get(name)
        if BUILDERS[name] is ListBuilder:
            return column.present() if isinstance(column, ListColumn) else []
        codes, categories = self.codes(name)
        return [categories[code] for code in present_codes(codes)]

    def codes(self, name: str) -> tuple[np.ndarray, list[Any]]:
        """Return a field of numbers or categories as codes (N,) and the values that they stand for."""
        column = self.columns.get(name)
        if column is None:
            return np.zeros(self._length, np.int32), [DEFAULTS[name]]
        if isinstance(column, NumberColumn):
            distinct, codes = np.unique(column.array, return_inverse=True)
            return codes, NumberColumn(distinct).values(0, len(distinct))
        assert isinstance(column, CategoryColumn), f"{name} has no codes"
        return column.codes, column.categories

    def where(self, name: str, test: Callable[[Any], bool]) -> np.ndarray:
        """Return a mask (N,) of the rows whose value passes ``test``."""
        if isinstance(self.columns.get(name), (TextColumn, ListColumn)):
            return np.fromiter((test(value) for (value,) in self.rows(name)), bool, self._length)
        codes, categories = self.codes(name)
        return np.array([test(category) for category in categories], bool)[codes]

    def take(self, rows: np.ndarray) -> ClipTable:
        """Return the table of these rows (indices, or a mask of all rows), in that order."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        unique = self._unique and bool((np.diff(rows) > 0).all())  # ascending rows hold none twice
        return ClipTable(len(rows), {name: column.take(rows) for name, column in self.columns.items()}, unique)

    def with_column(self, name: str, values: Iterable[Any]) -> ClipTable:
        """Return the table with another column; ``values`` are one per row."""
        builder = TableBuilder()
        iterator = iter(values)
        while chunk := list(islice(iterator, CHUNK)):
            builder.add(len(chunk), {name: chunk})
        column = builder.columns()
        assert builder.count == self._length, f"{builder.count} values for {self._length} rows"
        others = {key: value for key, value in self.columns.items() if key != name} | column
        columns = {field: others[field] for field in FIELDS if field in others}
        return ClipTable(self._length, columns, self._unique and name != "id")

    def followed_by(self, other: ClipTable) -> ClipTable:
        """Return the table of these rows and behind them those of another table."""
        columns: dict[str, Column] = {}
        for name in (field for field in FIELDS if field in self.columns or field in other.columns):
            if name == "path" and all(t.columns.get("path") is t.columns.get("id") for t in (self, other)):
                columns[name] = columns["id"]  # shared, as TableBuilder does
            else:
                columns[name] = self._column(name).followed_by(other._column(name))
        return ClipTable(len(self) + len(other), columns)

    def _column(self, name: str) -> Column:
        """Return a column, also one that is not stored because all its rows hold the default."""
        column = self.columns.get(name)
        if column is None:
            builder = BUILDERS[name]()
            builder.add([DEFAULTS[name]] * self._length)
            column = builder.column()
        assert column is not None
        return column

    def row_of(self, id: str) -> int | None:
        """Return the row of an id, or None when no clip has it."""
        return self._index.row_of(id)

    def repeated_ids(self) -> dict[str, int]:
        """Return the ids of more than one row, with the number of their rows; normally empty."""
        if not self._unique and self._index.may_repeat():
            counts = Counter(self.values("id"))
            return {id: count for id, count in counts.items() if count > 1}
        self._unique = True
        return {}

    @cached_property
    def _index(self) -> IdIndex:
        return IdIndex(self)


class IdIndex:
    """Finds the row of an id by binary search in the sorted hashes of all ids: 16 bytes a row."""

    def __init__(self, table: ClipTable):
        hashes = getattr(table.columns.get("id"), "hashes", None)
        if hashes is None:
            hashes = np.fromiter(map(hash, table.values("id")), np.int64, len(table))
        self.table, self.rows = table, np.argsort(hashes)
        self.hashes = hashes[self.rows]

    def row_of(self, id: str) -> int | None:
        sought = hash(id)
        place = int(np.searchsorted(self.hashes, sought))
        while place < len(self.hashes) and self.hashes[place] == sought:
            row = int(self.rows[place])
            if self.table.columns["id"][row] == id:
                return row
            place += 1
        return None

    def may_repeat(self) -> bool:
        """Return True if two ids have one hash."""
        return bool((self.hashes[1:] == self.hashes[:-1]).any())


BUILDERS: dict[str, Callable[[], Any]] = {
    "id": lambda: TextBuilder(hashed=True),
    **dict.fromkeys(("path", "key", "transcript"), TextBuilder),
    **dict.fromkeys(("store", "split", "group", "events"), CategoryBuilder),
    **dict.fromkeys(("labels", "known"), ListBuilder),
    **dict.fromkeys(("start", "end", "weight"), lambda: NumberBuilder(np.float64)),
    **dict.fromkeys(("rate", "num_samples", "fold"), lambda: NumberBuilder(np.int64)),
}


class TableBuilder:
    """Makes a ClipTable from parts: lists of values by field name, or clips."""

    def __init__(self) -> None:
        self.count = 0
        self.builders: dict[str, Any] = {}

    def add(self, count: int, values: Mapping[str, Any]) -> None:
        """Append ``count`` rows; fields that are not given hold their default.

        Args:
            count: Number of rows.
            values: Values by field name: sequences of Python values, arrays for numbers, ``Lists`` for lists of names.
        """
        for name in sorted(values.keys() - self.builders.keys()):
            self.builders[name] = BUILDERS[name]()
            if self.count:
                self.builders[name].add([DEFAULTS[name]] * self.count)
        for name, builder in self.builders.items():
            builder.add(values[name] if name in values else [DEFAULTS[name]] * count)
        self.count += count

    def add_clips(self, clips: Iterable[Clip]) -> None:
        """Append clips."""
        fields, iterator = attrgetter(*FIELDS), iter(clips)
        while chunk := list(islice(iterator, CHUNK)):
            columns = zip(FIELDS, zip(*map(fields, chunk)))
            set_here = {name: values for name, values in columns if any(v != DEFAULTS[name] for v in values)}
            self.add(len(chunk), set_here)

    def columns(self) -> dict[str, Column]:
        """Return the columns that hold more than their default; a path that equals the id shares its text."""
        columns = {name: builder.column() for name, builder in self.builders.items()}
        columns = {name: columns[name] for name in FIELDS if name in columns}
        columns = {name: column for name, column in columns.items() if not column.holds_only(DEFAULTS[name])}
        id, path = columns.get("id"), columns.get("path")
        if isinstance(id, TextColumn) and isinstance(path, TextColumn) and id.equals(path):
            columns["path"] = id
        return columns

    def table(self) -> ClipTable:
        return ClipTable(self.count, self.columns())


JOINED = ("labels", "known", "events")  # what rows of one clip may differ in


def merged_rows(table: ClipTable, where: str) -> tuple[ClipTable, tuple[str, ...]]:
    """Return a table with one row per clip, and a note about rows that were joined.

    Rows of one id (by default the file and its span) become one clip with the labels and events of all.

    Raises:
        AuricleError: Rows of one id differ in something else, such as the file or the fold.
    """
    if not table.repeated_ids():
        return table, ()
    rows: dict[str, list[Clip]] = {}
    for clip in table:
        rows.setdefault(clip.id, []).append(clip)
    merged = ClipTable.of(_merged(clips, where) for clips in rows.values())
    joined = [clips for clips in rows.values() if len(clips) > 1]
    events = " and events" if "events" in merged.columns else ""
    note = (
        f"rows of {where} about the same clip are joined, with the labels{events} of all of them "
        f"({sum(map(len, joined)):,} rows, {len(joined):,} clips, the first is '{joined[0][0].id}')"
    )
    return merged, (note,)


def _merged(clips: Sequence[Clip], where: str) -> Clip:
    if len(clips) == 1:
        return clips[0]
    values: dict[str, Any] = {name: _common(name, clips, where) for name in FIELDS if name not in JOINED}
    labels = tuple(dict.fromkeys(label for clip in clips for label in clip.labels))
    known = [clip.known for clip in clips if clip.known is not None]
    events = tuple(dict.fromkeys(event for clip in clips for event in clip.events))
    return Clip(
        **values,
        labels=labels,
        known=tuple(dict.fromkeys(name for names in known for name in names)) if known else None,
        events=events,
    )


def _common(field: str, clips: Sequence[Clip], where: str) -> Any:
    """Return the value of a field in all rows of a clip that set it."""
    values = [getattr(clip, field) for clip in clips]
    distinct = list(dict.fromkeys(value for value in values if value != DEFAULTS[field])) or [DEFAULTS[field]]
    if len(distinct) > 1:
        raise AuricleError(
            f"duplicate ids in the manifest: '{clips[0].id}' ({len(clips)} rows) has several values of '{field}' in {where}: "
            f"{', '.join(map(repr, distinct[:3]))}; rows of one clip may differ in labels and events only: "
            "remove the others, or give the clips an 'id' column of their own"
        )
    return distinct[0]
