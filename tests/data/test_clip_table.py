"""Columns of a manifest: they hold what the clips held, and whole columns are read as single rows are."""

from __future__ import annotations

import csv
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import CHUNK, Clip, ClipTable, Segment, TableBuilder
from auricle.data.manifest.columns import MISSING
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.manifest.rows import clip_columns, clip_of

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=6)
names = st.lists(text, max_size=3).map(tuple)
number = st.floats(0, 1e9)
clips = st.builds(
    Clip,
    id=text,
    path=st.none() | text,
    store=st.none() | text,
    key=st.none() | text,
    start=st.none() | number,
    end=st.none() | number,
    rate=st.none() | st.integers(1, 192000),
    num_samples=st.none() | st.integers(0, 2**62),
    labels=names,
    known=st.none() | names,
    events=st.lists(st.builds(Segment, number, number, text), max_size=2).map(tuple),
    transcript=st.none() | text,
    split=st.none() | text,
    fold=st.none() | st.integers(0, 9),
    group=st.none() | text,
    weight=number,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(clips, max_size=6), st.data())
def test_a_table_holds_the_fields_of_its_clips(rows, data):
    table = ClipTable.of(rows)
    assert list(table) == rows
    assert [table[i] for i in range(len(table))] == rows
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)) if rows else []
    some = pickle.loads(pickle.dumps(table.take(np.array(chosen, int))))
    assert list(some) == [rows[i] for i in chosen]
    assert table.seconds().tolist() == pytest.approx(
        [np.nan if c.seconds is None else c.seconds for c in rows], nan_ok=True
    )
    assert set(table.distinct("labels")) == {label for clip in rows for label in clip.labels}


cell = st.sampled_from(["", " ", "0", "1", " 2 ", "0.5", "nan", "-1", "a", "a,b", '"a,b",c', ' "x', "é", '""', "a\nb"])
path = st.sampled_from(["", "a.wav", "./a.wav", "b//c.wav", "d/./e", "d/.", "/f/", ".", "x.npy", "p/q.npz", " g.wav "])
rows_of_cells = st.fixed_dictionaries(
    {"id": st.sampled_from(["", "i", " j "]), "path": path, "key": path, "store": st.sampled_from(["", "s"])}
    | dict.fromkeys(("start", "end", "fold", "num_samples", "labels", "known", "split", "weight"), cell)
)
PLAIN = dict.fromkeys(("key", "store", "start", "end", "fold", "num_samples", "known", "split", "weight"), "")


@settings(max_examples=400, deadline=None)
@given(st.lists(rows_of_cells, min_size=1, max_size=3))
@example([{**PLAIN, "id": "", "path": "a.wav", "labels": "dog,cat", "start": "1"}])
@example([{**PLAIN, "id": "a", "path": "b//c.wav", "labels": "dog, cat", "num_samples": "5"}])
@example(
    [
        {**PLAIN, "id": "a", "path": "x.npy", "labels": "", "weight": "2"},
        {**PLAIN, "id": "", "path": "y", "labels": "b"},
    ]
)
def test_columns_are_read_as_rows_are(rows):
    """Either both give the same clips, or both refuse."""
    columns = {name: name for name in rows[0]}
    try:
        expected = [clip_of(row, columns, "here") for row in rows]
    except AuricleError:
        with pytest.raises((ValueError, TypeError, csv.Error)):
            clip_columns({name: [row[name] for row in rows] for name in columns}, len(rows))
        return
    builder = TableBuilder()
    builder.add(len(rows), clip_columns({name: [row[name] for row in rows] for name in columns}, len(rows)))
    assert list(builder.table()) == expected


def test_tables_longer_than_a_chunk_are_read_and_written(tmp_path):
    count = 2 * CHUNK + 3
    rows = [Clip(f"{i}", path=f"{i}.wav", fold=i % 3 or None, labels=("é",) * (i % 2)) for i in range(count)]
    rows[-1] = replace(rows[-1], group="anna", known=())
    again = read_manifest(write_manifest(Manifest(rows, tmp_path), tmp_path / "m.csv"))
    assert again.clips == rows
    assert again[f"{count - 1}"] == rows[-1]
    assert again.table.numbers("fold").tolist() == [MISSING if c.fold is None else c.fold for c in rows]
    assert again.select(fold=2, ids={"2", "5", "6"}).ids == ("2", "5")


def test_an_error_in_a_later_chunk_names_its_line(tmp_path):
    lines = [f"{i}.wav,1" for i in range(CHUNK + 10)]
    lines[CHUNK + 5] = "x.wav,one"
    (tmp_path / "m.csv").write_text("\n".join(["path,fold", *lines]))
    with pytest.raises(AuricleError, match=rf"m\.csv line {CHUNK + 7}: column 'fold' holds 'one'"):
        read_manifest(tmp_path / "m.csv")


def test_repeated_ids_are_found_in_any_order():
    with pytest.raises(AuricleError, match=r"duplicate ids in the manifest: 'a' \(2 rows\), 'b' \(3 rows\)"):
        Manifest([Clip(id) for id in ("a", "b", "c", "b", "a", "b")])
    manifest = Manifest([Clip("a"), Clip("b")])
    with pytest.raises(AuricleError, match="'b' "):
        replace(manifest, clips=manifest.table.take(np.array([1, 0, 1])))


def test_a_column_without_values_is_not_stored():
    table = ClipTable.of([Clip("a", path="a"), Clip("b", path="b", split="x")])
    assert list(table.columns) == ["id", "path", "split"]
    assert table.columns["path"] is table.columns["id"], "equal text is stored once"
    assert {f.name for f in fields(Clip)} >= set(table.columns)


def test_a_small_part_is_sent_to_other_processes_without_the_rest():
    table = ClipTable.of([Clip(f"{i:08}", path=f"folder/{i:08}.wav") for i in range(5000)])
    part = table.take(np.arange(3))
    assert len(pickle.dumps(part)) < 5000
    assert pickle.loads(pickle.dumps(part)) == part
