"""Free the room of rows of an embedding store that nobody needs any more, and join small shards.

Shards are never changed: the rows of a small or half empty one that are still needed are written into new shards, and then its
file is removed. A process that is killed in between leaves both; the newer one counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice

from auricle.data.stores.embeddings import SHARD_CLIPS, EmbeddingStore


def keep_only(store: EmbeddingStore, ids: Iterable[str]) -> int:
    """Remove all rows of a store but some; shards that hold less than half of ``SHARD_CLIPS`` then are joined.

    Args:
        store: other processes may read it and append to it meanwhile.
        ids: the rows that stay.

    Returns:
        The number of rows that were removed.

    Raises:
        AuricleError: for a full disk; nothing is lost then.
    """
    wanted = json.dumps(list(ids))

    def forget(db: sqlite3.Connection) -> int:
        return db.execute("DELETE FROM clips WHERE id NOT IN (SELECT value FROM json_each(?))", (wanted,)).rowcount

    def small_shards(db: sqlite3.Connection) -> list[tuple[int, int]]:
        query = (
            "SELECT shards.number, count(clips.id) FROM shards LEFT JOIN clips ON clips.shard = shards.number "
            "WHERE shards.layout != '' GROUP BY shards.number HAVING count(clips.id) < ? ORDER BY shards.number"
        )
        return db.execute(query, (SHARD_CLIPS // 2,)).fetchall()

    with store._locked():
        store._note_shards()
        removed = store._index(forget)
        small = store._index(small_shards)
        numbers = [number for number, _ in small]
        if sum(rows > 0 for _, rows in small) > 1 or any(rows < len(store._header(n).ids) for n, rows in small):
            _move_rows(store, numbers)
            _remove(store, numbers)
    return removed


def _move_rows(store: EmbeddingStore, numbers: Sequence[int]) -> None:
    """Write the rows of some shards into new ones, in the order in which they were appended."""
    marks = ", ".join("?" * len(numbers))
    query = f"SELECT id, source FROM clips WHERE shard IN ({marks}) ORDER BY shard, row"
    rows = iter(store._index(lambda db: db.execute(query, numbers).fetchall()))
    while part := list(islice(rows, SHARD_CLIPS)):
        store._append_shard([store[id] for id, _ in part], [source for _, source in part])


def _remove(store: EmbeddingStore, numbers: Sequence[int]) -> None:
    def forget(db: sqlite3.Connection) -> None:
        db.executemany("UPDATE shards SET layout = '' WHERE number = ?", [(number,) for number in numbers])

    store._index(forget)  # first: a shard without a file is damage, a file without an entry is not
    for number in numbers:
        store.shard_file(number).unlink(missing_ok=True)
