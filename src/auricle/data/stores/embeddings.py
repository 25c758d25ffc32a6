"""The embedding store: a folder of append-only shards with an index and a description.

    store = EmbeddingStore.create("birds", {"encoder": encoder.fingerprint()})
    store.append(results)                       # ClipEmbedding; when it returns they are on disk
    vectors = EmbeddingStore.open("birds").vectors(["a.wav", "b.wav"])

    birds/description.json           format, dtype, and the writer's description: encoder, settings, clips
    birds/shard-000000.safetensors   embeddings of some clips (``shards.py``), never changed
    birds/index.sqlite               shard and row of each id; can be rebuilt from the shards
    birds/lock                       held by the one process that appends

Rows are found by id, never by their order. A killed writer loses only what it had not appended; the next
writer continues after it. Several writers take turns. An id that the store holds is not appended again, unless the
writer replaces it; the replaced row stays in its shard and is not read.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import make_folder, write_failure, write_text
from auricle.core.locks import locked
from auricle.data.stores.shards import (
    FRAMES,
    TIMES,
    VECTOR,
    ClipEmbedding,
    DamagedShardError,
    Shard,
    read_shard,
    values_of,
    write_shard,
)

FORMAT = 1  # of the folder; a store of a newer format is refused
DTYPES = ("float16", "float32", "float64", "int8")
SHARD_CLIPS = 256  # most clips of a shard
SHARD_BYTES = 64 << 20  # most bytes of a shard, if it holds several clips
SHARDS_OPEN = 4  # mapped at a time
QUERY_IDS = 500  # ids per query
WAIT_SECONDS = 60.0
DESCRIPTION, INDEX, LOCK, DAMAGED = "description.json", "index.sqlite", "lock", ".damaged"
SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (number INTEGER PRIMARY KEY, layout TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clips (
  id TEXT PRIMARY KEY, source TEXT NOT NULL, shard INTEGER NOT NULL, row INTEGER NOT NULL, frame INTEGER NOT NULL,
  frames INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_place ON clips (shard, row);
CREATE TABLE IF NOT EXISTS failures (id TEXT PRIMARY KEY, message TEXT NOT NULL);
"""
T = TypeVar("T")


@dataclass(frozen=True)
class StoredRow:
    """Where the embedding of a clip is: shard, row, first frame, number of frames; and what it was computed from."""

    shard: int
    row: int
    frame: int
    frames: int
    source: str

    @property
    def place(self) -> tuple[int, int, int, int]:
        return self.shard, self.row, self.frame, self.frames


class LostDescriptionError(AuricleError):
    """The description of an embedding store cannot be read."""


class EmbeddingStore:
    """Embeddings on disk, by id. ``create`` opens a store for writing, ``open`` an existing one.

    Attributes:
        folder: the folder.
        description: JSON values that describe the embeddings: encoder, settings, clips.
        dtype: of vectors and frames on disk; those of int8 are read as float32.
        notes: messages about damaged files that were repaired.
    """

    def __init__(self, folder: Path, description: dict[str, Any], dtype: str):
        self.folder, self.description, self.dtype = folder, description, dtype
        self.notes: list[str] = []
        self._thread, self._depth = threading.RLock(), 0
        self._header = lru_cache(1024)(lambda number: read_shard(self.shard_file(number)))
        self._arrays = lru_cache(SHARDS_OPEN)(lambda number: self._header(number).arrays())

    # ---- opening
    @classmethod
    def create(cls, folder: str | Path, description: Mapping[str, Any], *, dtype: str = "float32") -> EmbeddingStore:
        """Make a store, or open an existing one for appending.

        Args:
            folder: made if it does not exist.
            description: JSON values; an existing store must have the same.
            dtype: "float16", "float32", "float64", or "int8": a scale per row, read as float32.

        Raises:
            AuricleError: for a store with another description or dtype, a folder of other files, an unknown dtype.
        """
        folder, wanted = Path(folder), json.loads(json.dumps(dict(description)))
        if dtype not in DTYPES:
            raise AuricleError(f"the dtype of an embedding store is one of {', '.join(DTYPES)}, got '{dtype}'")
        make_folder(folder)
        if not cls.is_store(folder):
            _check_empty(folder)  # before the lock, which would stay among the files of the user
        with locked(folder / LOCK):
            if not cls.is_store(folder):
                _check_empty(folder)
                _write_description(folder, wanted, dtype)
        store = cls.open(folder)
        different = {key for key in {*wanted, *store.description} if wanted.get(key) != store.description.get(key)}
        if different or store.dtype != dtype:
            names = ", ".join(sorted(different)) or f"dtype: {store.dtype}"
            raise AuricleError(f"the embedding store {folder} was made from something else ({names})")
        with locked(folder / LOCK):
            for left in folder.glob(".*.tmp"):  # of a writer that was killed: this process holds the lock
                left.unlink()
        return store

    @classmethod
    def open(cls, folder: str | Path) -> EmbeddingStore:
        """Open an existing store. Rows that the index lacks are added to it.

        Raises:
            AuricleError: for a folder that is no embedding store, or one of a newer version.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            version, description, dtype = about["format"], about["description"], about["dtype"]
            version = int(version)
            if not isinstance(description, dict) or dtype not in DTYPES:
                raise TypeError("description or dtype")
        except Exception as error:  # any value may have any type, and any depth
            raise LostDescriptionError(
                f"{folder} is no embedding store: {DESCRIPTION} cannot be read ({content_fault(error)}); choose another name, "
                "or remove the folder"
            ) from None
        if version > FORMAT:
            raise AuricleError(f"the embedding store {folder} has format {version}; this version reads {FORMAT}")
        store = cls(folder, description, dtype)
        if (folder / INDEX).exists():
            store._note_shards()
        else:
            store._complete_index()
        return store

    @classmethod
    def describe_again(cls, folder: str | Path, description: Mapping[str, Any], *, dtype: str) -> None:
        """Write the description of a store whose description is lost or damaged; its shards stay as they are.

        Args:
            folder: made if it does not exist.
            description, dtype: those with which the store was made.
        """
        make_folder(Path(folder))
        with locked(Path(folder) / LOCK):
            _write_description(Path(folder), description, dtype)

    @property
    def read_dtype(self) -> str:
        """The dtype of vectors and frames that are read."""
        return "float32" if self.dtype == "int8" else self.dtype

    @staticmethod
    def is_store(folder: str | Path) -> bool:
        """Return True if the folder has the description of a store."""
        return (Path(folder) / DESCRIPTION).is_file()

    def remove(self) -> None:
        """Delete the files of the store, and the folder if nothing else is in it."""
        for pattern in (DESCRIPTION, f"{INDEX}*", "shard-*.safetensors*", ".*.tmp", LOCK):
            for file in self.folder.glob(pattern):
                file.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def shard_file(self, number: int) -> Path:
        return self.folder / f"shard-{number:06d}.safetensors"

    # ---- appending
    def append(
        self, clips: Iterable[ClipEmbedding], sources: Mapping[str, str] | None = None, *, replace: bool = False
    ) -> list[str]:
        """Append embeddings, in one shard. When this returns, they are on disk and in the index.

        Args:
            clips: embeddings; for clips that failed, the message goes to ``failures``.
            sources: by id, what a clip was computed from (such as its file with size and time).
            replace: replace rows with the same id, unless they were computed from the same source; otherwise clips
                with an id that the store holds are left out.

        Returns:
            The ids that were appended.

        Raises:
            AuricleError: for vectors of other names or lengths than those in the store, and when the disk is full.
        """
        latest = {clip.id: clip for clip in clips}
        failed = [(clip.id, clip.failure) for clip in latest.values() if clip.failure]
        sources = sources or {}
        with self._locked():
            self._note_shards()
            good = [clip for clip in latest.values() if not clip.failure]
            present = self.rows(clip.id for clip in good)
            if replace:
                present = {id: row for id, row in present.items() if row.source and row.source == sources.get(id)}
            good = [clip for clip in good if clip.id not in present]
            if good:
                self._check_layout(good)
                self._append_shard(good, [sources.get(clip.id, "") for clip in good])
            if failed:
                insert = "INSERT OR REPLACE INTO failures VALUES (?, ?)"
                self._index(lambda db: db.executemany(insert, failed))
        return [clip.id for clip in good]

    def _note_shards(self) -> None:
        """Add the shard of a writer that was killed before it updated the index."""
        if self.shard_file(self._index(_next_number)).exists():
            self._complete_index()

    def _append_shard(self, clips: Sequence[ClipEmbedding], sources: Sequence[str]) -> None:
        """Write a shard and note its rows in the index; the caller holds the lock."""
        number = self._index(_next_number)
        shard = write_shard(self.shard_file(number), clips, sources, np.dtype(self.dtype))
        self._index(lambda db: _insert(db, number, shard))

    def append_in_shards(
        self,
        clips: Iterable[ClipEmbedding],
        sources: Mapping[str, str] | None = None,
        *,
        replace: bool = False,
        shard_clips: int | None = None,
    ) -> Iterator[ClipEmbedding]:
        """Append a stream of embeddings and yield each of them; no more than one shard is held in memory.

        The last, incomplete shard is appended at the end, also when the stream or the caller ends early (Ctrl-C, an error).

        Args:
            clips: as for ``append``.
            sources: by id, what a clip was computed from.
            replace: as for ``append``.
            shard_clips: most clips of a shard; None: SHARD_CLIPS.
        """
        held: list[ClipEmbedding] = []
        size = 0

        def flush() -> None:
            if held:
                self.append(held, sources, replace=replace)
                held.clear()

        try:
            for clip in clips:
                held.append(clip)
                size += sum(array.nbytes for array in clip.vectors.values())
                size += 0 if clip.frames is None else clip.frames.nbytes
                if len(held) >= (shard_clips or SHARD_CLIPS) or size >= SHARD_BYTES:
                    flush()
                    size = 0
                yield clip
        finally:
            flush()

    def _check_layout(self, clips: Sequence[ClipEmbedding]) -> None:
        """Raise AuricleError unless all clips have the vectors of the store: the same names, lengths and level."""
        expected = self.widths() or _widths(clips[0])
        for clip in clips:
            if _widths(clip) != expected:
                raise AuricleError(
                    f"the embedding of {clip.id} does not fit into {self.folder}: it has {_widths(clip)}, expected {expected}"
                )

    # ---- reading
    def __len__(self) -> int:
        return int(self._index(lambda db: db.execute("SELECT count(*) FROM clips").fetchone()[0]))

    def __contains__(self, id: str) -> bool:
        return id in self.rows([id])

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in the order in which they were appended."""
        query = "SELECT id FROM clips ORDER BY shard, row"
        return tuple(self._index(lambda db: [id for (id,) in db.execute(query)]))

    @property
    def failures(self) -> dict[str, str]:
        """Messages of clips that could not be embedded and were not appended since."""
        return dict(self._index(lambda db: db.execute("SELECT id, message FROM failures").fetchall()))

    def widths(self) -> dict[str, int]:
        """Return the length of each named vector, and of "frames" if there are any; empty for an empty store."""
        query = "SELECT layout FROM shards WHERE layout != '' LIMIT 1"

        def read(db: sqlite3.Connection) -> dict[str, int]:
            row = db.execute(query).fetchone()
            try:
                return {name: int(width) for name, width in json.loads(row[0]).items()} if row else {}
            except Exception as error:
                raise sqlite3.DatabaseError(f"its layout is {row[0]!r:.100}") from error

        return self._index(read)

    def rows(self, ids: Iterable[str]) -> dict[str, StoredRow]:
        """Return where the embeddings are, by id; ids that the store lacks are left out."""
        ids = list(ids)

        def look_up(db: sqlite3.Connection) -> dict[str, StoredRow]:
            remaining, rows = iter(ids), {}
            while part := list(islice(remaining, QUERY_IDS)):
                marks = ", ".join("?" * len(part))
                query = f"SELECT id, shard, row, frame, frames, source FROM clips WHERE id IN ({marks})"
                rows.update({id: StoredRow(*place) for id, *place in db.execute(query, part)})
            if not all(type(number) is int and number >= 0 for row in rows.values() for number in row.place):
                raise sqlite3.DatabaseError("a place of a clip is no number")
            return rows

        return self._index(look_up)

    def vectors(self, ids: Sequence[str] | None = None, names: Sequence[str] | None = None) -> np.ndarray:
        """Return (n, D): the vectors of the clips, in the order of ``ids``, gathered from the mapped shards.

        Args:
            ids: None: all, in the order in which they were appended.
            names: the named vectors to put side by side; None: all of them, in the order of the writer.

        Raises:
            AuricleError: for an id or a name that the store does not have, and for a damaged shard.
        """
        ids = self.ids if ids is None else ids
        widths = self.widths()
        names = [name for name in widths if name != FRAMES] if names is None else names
        if unknown := [name for name in names if name not in widths or name == FRAMES]:
            raise AuricleError(
                f"the embedding store {self.folder} has no vector '{unknown[0]}', only {', '.join(widths)}"
            )
        places = self._places(ids)
        out = np.empty((len(ids), sum(widths[name] for name in names)), self.read_dtype)
        for number in np.unique(places[:, 0]):
            here = np.flatnonzero(places[:, 0] == number)
            arrays, start = self._arrays(int(number)), 0
            for name in names:
                out[here, start : start + widths[name]] = values_of(arrays, VECTOR + name, places[here, 1])
                start += widths[name]
        return out

    def __getitem__(self, id: str) -> ClipEmbedding:
        """Return the embedding of a clip; its arrays are views of the mapped shard, except of an int8 store.

        Raises:
            AuricleError: for an id that the store does not have, and for a damaged shard.
        """
        number, row, first, count = map(int, self._places([id])[0])
        arrays = self._arrays(number)
        vectors = {name: values_of(arrays, VECTOR + name, row) for name in self._header(number).names}
        own = slice(first, first + count)
        frames, times = (values_of(arrays, name, own) if name in arrays else None for name in (FRAMES, TIMES))
        return ClipEmbedding(id, vectors, frames, times)

    def _places(self, ids: Sequence[str]) -> np.ndarray:
        """Return (n, 4): shard, row, first frame and number of frames of each clip."""
        rows = self.rows(ids)
        if absent := [id for id in ids if id not in rows]:
            raise AuricleError(f"the embedding store {self.folder} has no clip '{absent[0]}'")
        return np.array([rows[id].place for id in ids]).reshape(-1, 4)

    # ---- damage
    def discard_damaged(self, ids: Collection[str] | None = None, *, content: bool = True) -> list[str]:
        """Compare shards with their checksums and remove the damaged ones from the store, so that their clips can be
        appended again. The damaged file is renamed to NAME.damaged.

        Args:
            ids: check only the shards of these clips; None: all.
            content: False: check only whether the files are there, in their full length, and read nothing but headers.

        Returns:
            One message per damaged shard, with the number of clips that are lost.
        """
        if ids is None:
            numbers = self._index(lambda db: [n for (n,) in db.execute("SELECT number FROM shards WHERE layout != ''")])
        else:
            numbers = sorted({row.shard for row in self.rows(ids).values()})
        messages = []
        for number in numbers:
            try:
                if content:
                    self._header(number).check()
                else:
                    read_shard(self.shard_file(number))
            except (DamagedShardError, FileNotFoundError) as error:
                messages.append(self._discard(number, str(error)))
        return messages

    def _discard(self, number: int, reason: str) -> str:
        def forget(db: sqlite3.Connection) -> int:
            db.execute("UPDATE shards SET layout = '' WHERE number = ?", (number,))  # no other shard gets its number
            return db.execute("DELETE FROM clips WHERE shard = ?", (number,)).rowcount

        with self._locked():
            file = self.shard_file(number)
            if file.exists():
                file.replace(file.with_name(file.name + DAMAGED))
            lost = self._index(forget)
        self._header.cache_clear()
        self._arrays.cache_clear()
        return f"{reason}: {lost} clips are lost"

    # ---- the index
    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder; a thread that holds it may take it again."""
        with self._thread:
            self._depth += 1
            try:
                if self._depth > 1:
                    yield
                else:
                    with locked(self.folder / LOCK):
                        yield
            finally:
                self._depth -= 1

    def _index(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the index in one transaction; a damaged index is rebuilt from the shards first."""
        try:
            return _on(self.folder / INDEX, work)
        except sqlite3.DatabaseError as error:
            self.notes.append(
                f"the index of {self.folder} is damaged ({content_fault(error)}); made again from the shards"
            )
        with self._locked():
            (self.folder / INDEX).unlink(missing_ok=True)
            self._complete_index()
        return _on(self.folder / INDEX, work)

    def _complete_index(self) -> None:
        """Add the shards that the index lacks: all if it is missing, or those of killed writers."""

        def add(db: sqlite3.Connection) -> None:
            db.executescript(SCHEMA)
            files = {file: int(file.name[6:].split(".")[0]) for file in self.folder.glob("shard-*.safetensors*")}
            for file, number in sorted(files.items(), key=lambda item: (item[1], item[0])):
                if number < _next_number(db):
                    continue
                if file.name.endswith(DAMAGED):
                    db.execute("INSERT INTO shards VALUES (?, '')", (number,))
                    continue
                try:
                    _insert(db, number, read_shard(file))
                except DamagedShardError as error:
                    file.replace(file.with_name(file.name + DAMAGED))
                    db.execute("INSERT INTO shards VALUES (?, '')", (number,))
                    self.notes.append(f"{error}; it was left out")

        with self._locked():
            _on(self.folder / INDEX, add)


def _on(file: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do some work on an index in one transaction. Raises AuricleError, and sqlite3.DatabaseError for a damaged index."""
    try:
        with closing(sqlite3.connect(file, timeout=WAIT_SECONDS)) as db, db:
            return work(db)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise
        reason = write_failure(error) or error
        raise AuricleError(f"the index of the embedding store {file.parent} cannot be used: {reason}") from None


def _next_number(db: sqlite3.Connection) -> int:
    """Return the number of the next shard. No number is used twice."""
    return int(db.execute("SELECT coalesce(max(number), -1) + 1 FROM shards").fetchone()[0])


def _insert(db: sqlite3.Connection, number: int, shard: Shard) -> None:
    """Insert the rows of a shard; they replace earlier rows with the same id."""
    starts = [0, *accumulate(shard.counts)]
    rows = zip(shard.ids, shard.sources, range(len(shard.ids)), starts, shard.counts)
    db.execute("INSERT INTO shards VALUES (?, ?)", (number, json.dumps(shard.widths())))
    db.executemany(
        "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?)",
        [(id, source, number, row, frame, frames) for id, source, row, frame, frames in rows],
    )
    db.executemany("DELETE FROM failures WHERE id = ?", [(id,) for id in shard.ids])


def _widths(clip: ClipEmbedding) -> dict[str, int]:
    widths = {name: int(np.size(vector)) for name, vector in clip.vectors.items()}
    return widths if clip.frames is None else widths | {FRAMES: clip.frames.shape[1]}


def _check_empty(folder: Path) -> None:
    """Raise AuricleError for a folder with files that are not those of a store that was about to be made."""
    others = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if others := [name for name in others if not name.startswith(f".{DESCRIPTION}.")]:
        raise AuricleError(f"{folder} is no embedding store and holds other files ({others[0]} …)")


def _write_description(folder: Path, description: Mapping[str, Any], dtype: str) -> None:
    text = json.dumps({"format": FORMAT, "dtype": dtype, "description": dict(description)}, indent=1)
    write_text(folder / DESCRIPTION, text)
