"""Columns of a manifest in memory: packed text, numbers, values that repeat, and lists of names.

Every column is a few arrays instead of one Python object per row, so that millions of rows stay small and forked
loader workers share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from typing import Any, NamedTuple, Protocol

import numpy as np

MISSING = np.iinfo(np.int64).min  # stands for None in a column of whole numbers; NaN does in one of other numbers


class Column(Protocol):
    """One field of all rows. ``None`` stands for a value that is not set."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any: ...

    def values(self, start: int, stop: int) -> list[Any]:
        """The Python values of the rows [start, stop)."""

    def take(self, rows: np.ndarray) -> Column:
        """The column of these rows (indices, or a mask of all rows), in that order."""

    def holds_only(self, value: Any) -> bool:
        """Return True if every row holds ``value``."""

    def followed_by(self, other: Any) -> Column:
        """Return the column of these rows and behind them those of another column of the same class."""


class TextColumn:
    """Strings in one UTF-8 buffer; row i is ``data[starts[i]:ends[i]]``, None where ``starts[i]`` is -1.

    ``hashes`` (N,) are Python's hashes of the strings, or None. They are valid in this process only.
    """

    def __init__(self, data: bytes, starts: np.ndarray, ends: np.ndarray, hashes: np.ndarray | None = None):
        self.data, self.starts, self.ends, self.hashes = data, starts, ends, hashes
        self.errors = "strict" if data.isascii() else "surrogatepass"  # decoding is faster with "strict"

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> str | None:
        start = self.starts[row]
        return None if start < 0 else self.data[start : self.ends[row]].decode("utf-8", self.errors)

    def values(self, start: int, stop: int) -> list[str | None]:
        data, errors = self.data, self.errors
        spans = zip(self.starts[start:stop].tolist(), self.ends[start:stop].tolist())
        return [None if first < 0 else data[first:last].decode("utf-8", errors) for first, last in spans]

    def take(self, rows: np.ndarray) -> TextColumn:
        hashes = None if self.hashes is None else self.hashes[rows]
        return TextColumn(self.data, self.starts[rows], self.ends[rows], hashes)

    def holds_only(self, value: Any) -> bool:
        return value is None and bool((self.starts < 0).all())

    def followed_by(self, other: TextColumn) -> TextColumn:
        shift = np.where(other.starts < 0, 0, len(self.data))
        starts, ends = (
            np.concatenate([mine, its + shift]) for mine, its in ((self.starts, other.starts), (self.ends, other.ends))
        )
        hashes = None
        if self.hashes is not None:
            new = np.fromiter(map(hash, other.values(0, len(other))), np.int64, len(other))
            hashes = np.concatenate([self.hashes, new])
        return TextColumn(self.data + other.data, starts, ends, hashes)

    def equals(self, other: TextColumn) -> bool:
        """Return True if both hold the same text in the same layout."""
        same = np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)
        return same and self.data == other.data

    def __reduce__(self) -> tuple:
        """Pickle only the text of these rows, not the whole buffer that they were taken from."""
        if 2 * int((self.ends - self.starts).sum()) >= len(self.data):
            return TextColumn, (self.data, self.starts, self.ends)
        builder = TextBuilder()
        builder.add(self.values(0, len(self)))
        compact = builder.column()
        return TextColumn, (compact.data, compact.starts, compact.ends)


class NumberColumn:
    """Numbers as float64 (NaN for None) or int64 (MISSING for None)."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, row: int) -> float | int | None:
        number = self.array[row].item()
        return None if number != number or number == MISSING else number

    @property
    def missing(self) -> np.ndarray:
        """(N,) True where there is no value."""
        return np.isnan(self.array) if self.array.dtype.kind == "f" else self.array == MISSING

    def values(self, start: int, stop: int) -> list[Any]:
        part = NumberColumn(self.array[start:stop])
        numbers: list[Any] = part.array.tolist()
        for row in np.flatnonzero(part.missing):
            numbers[row] = None
        return numbers

    def take(self, rows: np.ndarray) -> NumberColumn:
        return NumberColumn(self.array[rows])

    def holds_only(self, value: Any) -> bool:
        return bool((self.missing if value is None else self.array == value).all())

    def followed_by(self, other: NumberColumn) -> NumberColumn:
        return NumberColumn(np.concatenate([self.array, other.array]))


class CategoryColumn:
    """Values that repeat: a code per row, and the list of distinct values (which may hold some that no row has)."""

    def __init__(self, codes: np.ndarray, categories: list[Any]):
        self.codes, self.categories = codes, categories

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Any:
        return self.categories[self.codes[row]]

    def values(self, start: int, stop: int) -> list[Any]:
        return [self.categories[code] for code in self.codes[start:stop].tolist()]

    def take(self, rows: np.ndarray) -> CategoryColumn:
        return CategoryColumn(self.codes[rows], self.categories)

    def holds_only(self, value: Any) -> bool:
        return all(category == value for category in self.present())

    def followed_by(self, other: CategoryColumn) -> CategoryColumn:
        index = Numbering(zip(self.categories, range(len(self.categories))))
        codes = np.array([index[category] for category in other.categories], np.int32)
        return CategoryColumn(np.concatenate([self.codes, codes[other.codes]]), list(index))

    def present(self) -> list[Any]:
        """The distinct values of these rows."""
        return [self.categories[code] for code in present_codes(self.codes)]


class ListColumn:
    """Short lists of names: row i is ``codes[starts[i]:ends[i]]``, indices into ``names``; None where the start is -1."""

    def __init__(self, starts: np.ndarray, ends: np.ndarray, codes: np.ndarray, names: list[str]):
        self.starts, self.ends, self.codes, self.names = starts, ends, codes, names

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> tuple[str, ...] | None:
        start = self.starts[row]
        return None if start < 0 else tuple(self.names[code] for code in self.codes[start : self.ends[row]].tolist())

    def values(self, start: int, stop: int) -> list[tuple[str, ...] | None]:
        names = [self.names[code] for code in self._codes_of(slice(start, stop)).tolist()]
        lists: list[tuple[str, ...] | None] = []
        place = 0
        for first, last in zip(self.starts[start:stop].tolist(), self.ends[start:stop].tolist()):
            lists.append(None if first < 0 else tuple(names[place : place + last - first]))
            place += last - first
        return lists

    def take(self, rows: np.ndarray) -> ListColumn:
        return ListColumn(self.starts[rows], self.ends[rows], self.codes, self.names)

    def holds_only(self, value: Any) -> bool:
        return bool(
            (self.starts < 0).all() if value is None else ((self.starts >= 0) & (self.ends == self.starts)).all()
        )

    def present(self) -> list[str]:
        """The distinct names in the lists of these rows."""
        return [self.names[code] for code in present_codes(self._codes_of(slice(None)))]

    def followed_by(self, other: ListColumn) -> ListColumn:
        mine, its = CategoryColumn(self.codes, self.names), CategoryColumn(other.codes, other.names)
        shift = np.where(other.starts < 0, 0, len(self.codes))
        starts, ends = (
            np.concatenate([a, b + shift]) for a, b in ((self.starts, other.starts), (self.ends, other.ends))
        )
        codes = mine.followed_by(its)
        return ListColumn(starts, ends, codes.codes, codes.categories)

    def counts(self) -> np.ndarray:
        """Return the number of names in each list, (N,); 0 for None."""
        return np.where(self.starts < 0, 0, self.ends - self.starts)

    def frequencies(self) -> dict[str, int]:
        """Return in how many places each name is; names that no row has are left out."""
        counts = np.bincount(self._codes_of(slice(None)), minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, counts) if count}

    def _codes_of(self, rows: slice) -> np.ndarray:
        """Return the codes of these rows, list after list."""
        starts, lengths = self.starts[rows], self.ends[rows] - self.starts[rows]
        before = np.cumsum(lengths) - lengths
        return self.codes[np.repeat(starts - before, lengths) + np.arange(lengths.sum())]


def present_codes(codes: np.ndarray) -> np.ndarray:
    """Return the distinct codes, ascending."""
    return np.flatnonzero(np.bincount(codes))


class Lists(NamedTuple):
    """Lists of names as one flat list: row i has ``counts[i]`` of ``names``, -1 stands for None."""

    counts: np.ndarray
    names: list[str]

    @classmethod
    def of(cls, values: Sequence[Sequence[str] | None]) -> Lists:
        """Flatten lists."""
        counts = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
        return cls(counts, list(chain.from_iterable(value for value in values if value)))


class TextBuilder:
    """Makes a TextColumn from parts, with the hashes of the strings if ``hashed`` is True."""

    def __init__(self, hashed: bool = False) -> None:
        self.hashes: list[np.ndarray] | None = [] if hashed else None
        self.data = bytearray()
        self.starts: list[np.ndarray] = []
        self.ends: list[np.ndarray] = []

    def add(self, values: Sequence[str | None]) -> None:
        """Append rows."""
        if self.hashes is not None:
            self.hashes.append(np.fromiter(map(hash, values), np.int64, len(values)))
        present = np.ones(len(values), bool)
        if None in values:
            present = np.fromiter((value is not None for value in values), bool, len(values))
        texts = values if present.all() else list(compress(values, present))
        joined = "".join(texts)  # type: ignore[arg-type]
        if joined.isascii():
            encoded, lengths = joined.encode(), map(len, texts)  # type: ignore[arg-type]
        else:
            pieces = [text.encode("utf-8", "surrogatepass") for text in texts]  # type: ignore[union-attr]
            encoded, lengths = b"".join(pieces), map(len, pieces)
        sizes = np.fromiter(lengths, np.int64, len(texts))
        starts, ends = np.full((2, len(values)), -1, np.int64)
        ends[present] = len(self.data) + np.cumsum(sizes)
        starts[present] = ends[present] - sizes
        self.data += encoded
        self.starts.append(starts)
        self.ends.append(ends)

    def column(self) -> TextColumn:
        hashes = None if self.hashes is None else np.concatenate(self.hashes)
        return TextColumn(bytes(self.data), np.concatenate(self.starts), np.concatenate(self.ends), hashes)


class NumberBuilder:
    """Makes a NumberColumn from parts: arrays of its kind, or lists with None."""

    def __init__(self, dtype: type) -> None:
        self.dtype, self.none = dtype, np.nan if dtype is np.float64 else MISSING
        self.parts: list[np.ndarray] = []

    def add(self, values: Sequence[Any] | np.ndarray) -> None:
        """Append rows."""
        if not isinstance(values, np.ndarray):
            values = np.array([self.none if value is None else value for value in values], self.dtype)
        self.parts.append(values)

    def column(self) -> NumberColumn:
        return NumberColumn(np.concatenate(self.parts))


class Numbering(dict[Any, int]):
    """Assigns numbers to values in the order in which they first occur."""

    def __missing__(self, value: Any) -> int:
        self[value] = number = len(self)
        return number


class CategoryBuilder:
    """Makes a CategoryColumn from parts."""

    def __init__(self) -> None:
        self.codes: list[np.ndarray] = []
        self.index = Numbering()

    def add(self, values: Sequence[Any]) -> None:
        """Append rows."""
        self.codes.append(np.fromiter(map(self.index.__getitem__, values), np.int32, len(values)))

    def column(self) -> CategoryColumn:
        return CategoryColumn(np.concatenate(self.codes), list(self.index))


class ListBuilder:
    """Makes a ListColumn from parts."""

    def __init__(self) -> None:
        self.counts: list[np.ndarray] = []
        self.codes = CategoryBuilder()

    def add(self, values: Sequence[Sequence[str] | None] | Lists) -> None:
        """Append rows."""
        lists = values if isinstance(values, Lists) else Lists.of(values)
        self.counts.append(lists.counts)
        self.codes.add(lists.names)

    def column(self) -> ListColumn:
        counts, codes = np.concatenate(self.counts), self.codes.column()
        lengths = np.maximum(counts, 0)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        starts[counts < 0] = ends[counts < 0] = -1
        return ListColumn(starts, ends, codes.codes, codes.categories)
