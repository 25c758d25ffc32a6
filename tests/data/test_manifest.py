"""Manifests: every form that is read, joins by id, what is refused and what is warned of."""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import FIELDS
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Clip, Manifest, ManifestWarning, Segment
from auricle.data.manifest.rows import cell_of, clip_of
from helpers.sounds import write_sound


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


FULL = Clip(
    id="one",
    path="a/b.wav",
    store="lms",
    key="a/b.npy",
    start=0.25,
    end=2.5,
    rate=44100,
    num_samples=220500,
    labels=("Rain, heavy", 'the "best"'),
    known=(),
    events=(Segment(0.5, 1.25, "dog"),),
    transcript="hello, world",
    split="train",
    fold=3,
    group="anna",
    weight=0.125,
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_field_survives_writing_and_reading(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    manifest = Manifest((FULL, Clip(id="two", path="c.wav", known=("dog",))), tmp_path, classes=("dog", "cat"))
    again = read_manifest(write_manifest(manifest, tmp_path / f"manifest{suffix}"))
    assert again.clips == manifest.clips
    assert again.classes == manifest.classes


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(names, max_size=3), known=st.none() | st.lists(names, max_size=3), weight=st.floats(0, 1e6))
def test_a_clip_is_its_row(labels, known, weight):
    clip = Clip(
        id="x", path="x.wav", labels=tuple(labels), known=None if known is None else tuple(known), weight=weight
    )
    row = {name: cell_of(name, getattr(clip, name)) for name in FIELDS}
    assert clip_of(row, {name: name for name in FIELDS}, "here") == clip


def test_paths_follow_the_sound_when_the_manifest_is_written_elsewhere(tmp_path):
    write_sound(tmp_path / "audio" / "a.wav")
    manifest = read_manifest(tmp_path / "audio")
    moved = read_manifest(write_manifest(manifest, tmp_path / "lists" / "all.csv"))
    assert moved.ids == ("a.wav",)
    assert moved.audio(moved["a.wav"]).samefile(tmp_path / "audio" / "a.wav")


@pytest.mark.parametrize("column", ["path", "file_name", "filename", "file"])
def test_the_originals_names_of_columns_are_known(tmp_path, column):
    manifest = read_manifest(write(tmp_path / "list.csv", f'{column},label,split,fold\na.wav,"dog,cat",train,2\n'))
    assert manifest["a.wav"] == Clip(id="a.wav", path="a.wav", labels=("dog", "cat"), split="train", fold=2)


def test_category_is_preferred_to_target(tmp_path):
    table = write(tmp_path / "meta.csv", "filename,fold,target,category\na.wav,1,0,dog\n")
    assert read_manifest(table)["a.wav"].labels == ("dog",)
    assert read_manifest(table, label_column="target")["a.wav"].labels == ("0",)


def test_an_m2d_list_of_spectrograms_points_into_the_store(tmp_path):
    manifest = read_manifest(write(tmp_path / "files.csv", "file_name\nlms/x.npy\n"))
    assert manifest["lms/x.npy"].store is not None
    assert manifest.spectrogram(manifest["lms/x.npy"]) == tmp_path / "lms" / "x.npy"
    with pytest.raises(AuricleError, match="no audio path"):
        manifest.audio(manifest["lms/x.npy"])


def test_mae_ast_lists_have_their_root_on_the_first_line(tmp_path):
    (tmp_path / "root").mkdir()
    manifest = read_manifest(write(tmp_path / "train.tsv", f"{tmp_path / 'root'}\nx/a.flac\t16000\nb.flac\t800\n"))
    assert manifest.root == tmp_path / "root"
    assert manifest["x/a.flac"].num_samples == 16000
    again = read_manifest(write_manifest(manifest, tmp_path / "again.tsv"))
    assert again.clips == manifest.clips
    with pytest.raises(AuricleError, match="line 2: expected path<TAB>"):
        read_manifest(write(tmp_path / "bad.tsv", f"{tmp_path}\na.flac 16000\n"))


def test_a_table_with_tabs_and_a_header_is_read_as_a_table(tmp_path):
    assert (
        read_manifest(write(tmp_path / "cv.tsv", "path\tsentence\na.mp3\thello, you\n"))["a.mp3"].transcript
        == "hello, you"
    )


def test_a_folder_of_folders_labels_its_clips(tmp_path):
    for name in ("dog/a.wav", "cat/deep/b.wav"):
        write_sound(tmp_path / name)
    manifest = read_manifest(tmp_path)
    assert manifest.ids == ("cat/deep/b.wav", "dog/a.wav")
    assert manifest.label_classes() == ("cat", "dog")


def test_folders_called_train_and_test_are_splits(tmp_path):
    for name in ("train/dog/a.wav", "train/cat/b.wav", "test/emu/c.wav"):
        write_sound(tmp_path / name)
    manifest = read_manifest(tmp_path)
    assert manifest["test/emu/c.wav"].split == "test"
    assert manifest.label_classes() == ("cat", "dog"), "classes come from the training part"


def test_a_flat_folder_has_no_labels_and_hidden_files_are_left_out(tmp_path):
    for name in ("sub/a.wav", "sub/.b.wav", ".git/c.wav", "sub/notes.txt"):
        write_sound(tmp_path / name) if name.endswith("wav") else write(tmp_path / name, "")
    manifest = read_manifest(tmp_path)
    assert manifest.ids == ("sub/a.wav",)
    assert manifest["sub/a.wav"].labels == ()


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    write_sound(tmp_path / "elsewhere" / "a.wav")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "audio" / "circle").symlink_to(tmp_path / "audio")
    assert read_manifest(tmp_path / "audio").ids == ("linked/a.wav",)


def test_lists_hold_paths_rows_and_clips(tmp_path):
    manifest = read_manifest(["a.wav", Path("b.wav"), {"file": "c.wav", "label": "dog"}, FULL], root=tmp_path)
    assert manifest.ids == ("a.wav", "b.wav", "c.wav", "one")
    assert manifest.audio(manifest["b.wav"]) == tmp_path / "b.wav"


def test_one_file_is_a_manifest_of_one_clip(tmp_path):
    manifest = read_manifest(write_sound(tmp_path / "a.wav"))
    assert manifest.ids == ("a.wav",)
    assert manifest.audio(manifest["a.wav"]) == tmp_path / "a.wav"


def test_labels_are_joined_by_name_never_by_order(tmp_path):
    for name in ("x/a.wav", "y/b.wav", "y/c.wav"):
        write_sound(tmp_path / "audio" / name)
    table = write(tmp_path / "meta.csv", "filename,label,fold\nc.wav,C,1\nnone.wav,N,1\na,A,2\n")
    with pytest.warns(ManifestWarning) as seen:
        manifest = read_manifest(tmp_path / "audio", labels=table)
    assert [manifest[id].labels for id in manifest.ids] == [("A",), (), ("C",)]
    assert manifest["x/a.wav"].path == "x/a.wav"
    assert manifest["x/a.wav"].fold == 2
    assert [str(w.message) for w in seen] == [
        "1 rows of meta.csv are about no clip here",
        "1 clips have no row in meta.csv and stay without labels",
    ]


def test_a_label_table_about_other_files_is_refused(tmp_path):
    write_sound(tmp_path / "audio" / "dog_one.wav")
    table = write(tmp_path / "meta.csv", "filename,label\ndog_two.wav,dog\n")
    with pytest.raises(AuricleError, match=r"no row of meta\.csv is about a clip.*did you mean dog_one\.wav"):
        read_manifest(tmp_path / "audio", labels=table)


def test_spans_of_one_recording_have_ids_of_their_own(tmp_path):
    manifest = read_manifest(write(tmp_path / "m.csv", "path,start,end\nlong.wav,0,1.5\nlong.wav,1.5,3\n"))
    assert manifest.ids == ("long.wav@0-1.5", "long.wav@1.5-3")
    assert manifest.clips[0].seconds == 1.5


def test_spans_that_differ_little_have_ids_of_their_own_too(tmp_path):
    text = "path,start,end\na.wav,1.23456789,2.00000001\na.wav,1.2345678,2\n"
    assert read_manifest(write(tmp_path / "m.csv", text)).ids == ("a.wav@1.23456789-2.00000001", "a.wav@1.2345678-2")


def test_a_null_among_labels_is_no_class():
    assert read_manifest([{"path": "a.wav", "labels": [None, "dog"]}]).clips[0].labels == ("dog",)


REFUSED = {
    "duplicate": ("id,path\na,x.wav\na,y.wav\n", r"duplicate ids in the manifest: 'a' \(2 rows\)"),
    "no file column": ("label,fold\ndog,1\n", "no column for the file; found label, fold"),
    "fold": ("path,fold\nx.wav,first\n", r"m\.csv line 2: column 'fold' holds 'first'; expected a whole number"),
    "start": ("path,start\nx.wav,nan\n", "column 'start' holds 'nan'; expected seconds"),
    "end": ("path,start,end\nx.wav,2,1\n", "ends at 1.0 s but starts at 2.0 s"),
    "weight": ("path,weight\nx.wav,-1\n", "expected a number, 0 or more"),
    "events": ("path,events\nx.wav,dog\n", "expected JSON"),
    "cells": ("path,label\nx.wav,dog,cat\n", "line 2 has more cells than the header"),
    "no rows": ("path,label\n", "has no rows"),
    "empty": ("", "has no rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_tables_are_refused_with_a_message(tmp_path, case):
    text, message = REFUSED[case]
    with pytest.raises(AuricleError, match=message):
        read_manifest(write(tmp_path / "m.csv", text))


def test_an_unknown_label_column_is_refused_with_the_existing_ones(tmp_path):
    table = write(tmp_path / "m.csv", "path,digit\nx.wav,1\n")
    with pytest.raises(AuricleError, match="no column 'numeral'; its columns are path, digit"):
        read_manifest(table, label_column="numeral")
    write_sound(tmp_path / "audio" / "x.wav")
    with pytest.raises(AuricleError, match="not a table"):
        read_manifest(tmp_path / "audio", label_column="digit")


def test_missing_files_are_refused_with_the_nearest_name(tmp_path):
    (tmp_path / "recordings").mkdir()
    with pytest.raises(AuricleError, match="does not exist; did you mean recordings"):
        read_manifest(tmp_path / "recording")
    with pytest.raises(AuricleError, match="no audio in"):
        read_manifest(tmp_path / "recordings")
    with pytest.raises(AuricleError, match=r"the root folder .* does not exist"):
        read_manifest(write(tmp_path / "m.csv", "path\nx.wav\n"), root=tmp_path / "no")
    (tmp_path / "latin.csv").write_bytes(b"path\n\xe9.wav\n")
    with pytest.raises(AuricleError, match="cannot read the table"):
        read_manifest(tmp_path / "latin.csv")


def test_groups_on_both_sides_are_warned_of(tmp_path):
    table = write(tmp_path / "m.csv", "path,speaker,split\na.wav,anna,train\nb.wav,anna,test\nc.wav,ben,test\n")
    with pytest.warns(ManifestWarning, match=r"1 of 2 groups stand in more than one split \(anna\)"):
        assert len(read_manifest(table).notes) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_manifest(write(tmp_path / "good.csv", "path,speaker,split\na.wav,anna,train\nb.wav,ben,test\n"))


def test_classes_come_from_a_list_or_a_file(tmp_path):
    table = write(tmp_path / "m.csv", "path,label\na.wav,dog\nb.wav,cat\n")
    assert read_manifest(table).label_classes() == ("cat", "dog")
    assert read_manifest(table, classes=["dog", "cat"]).label_classes() == ("dog", "cat")
    lines = write(tmp_path / "classes.txt", "dog\ncat\n")
    assert read_manifest(table, classes=lines).label_classes() == ("dog", "cat")
    index = write(tmp_path / "index.csv", "index,mid,display_name\n0,/m/1,Dog\n1,/m/2,Cat\n")
    assert read_manifest(table, classes=index).label_classes() == ("/m/1", "/m/2")
    with pytest.raises(AuricleError, match="repeats dog"):
        read_manifest(table, classes=["dog", "dog"])


def test_selecting_and_joining_go_by_name():
    clips = tuple(Clip(id=f"{i}", path=f"{i}.wav", split="train" if i < 3 else "test", fold=i % 2) for i in range(5))
    manifest = Manifest(clips)
    assert manifest.select(split="train", fold=0).ids == ("0", "2")
    assert manifest.select(fold=[0, 1], ids={"4"}).ids == ("4",)
    labels = Manifest((Clip(id="4", labels=("dog",)), Clip(id="9", labels=("cat",))))
    joined = manifest.joined(labels)
    assert joined["4"] == replace(clips[4], labels=("dog",))
    assert joined["0"] == clips[0]
    with pytest.raises(AuricleError, match="no clip '7'"):
        joined["7"]


def test_the_real_data_sets_are_read_as_they_are(shared):
    esc10 = read_manifest(shared / "data/esc10/audio", labels=shared / "data/esc10/meta.csv")
    assert len(esc10) == 400
    assert len(esc10.label_classes()) == 10
    assert {clip.fold for clip in esc10} == {1, 2, 3, 4, 5}
    with pytest.warns(ManifestWarning, match="6 of 6 groups"):
        digits = read_manifest(shared / "data/fsdd/meta.csv", label_column="digit", group_column="speaker")
    assert digits.label_classes() == tuple("0123456789")
    assert len(digits) == 3000


def test_a_csv_reader_of_others_sees_plain_columns(tmp_path):
    path = write_manifest(
        Manifest((Clip(id="a", path="a.wav", labels=("dog",), fold=1),), tmp_path), tmp_path / "m.csv"
    )
    with path.open() as file:
        assert list(csv.DictReader(file)) == [{"id": "a", "path": "a.wav", "labels": "dog", "fold": "1"}]


def test_a_folder_of_one_split_keeps_split_and_labels(tmp_path):
    for name in ("dog", "cat"):
        write_sound(tmp_path / "train" / name / "a.wav")
    found = read_manifest(tmp_path)
    assert {(clip.split, clip.labels) for clip in found} == {("train", ("dog",)), ("train", ("cat",))}


def test_writing_over_another_manifest_leaves_nothing_of_it(tmp_path):
    clips = (Clip("a", path="a.wav", labels=("dog", "with\nbreak"), num_samples=9),)
    write_manifest(Manifest(clips, tmp_path, classes=("cat", "dog", "with break")), tmp_path / "m.csv")
    write_manifest(Manifest(clips, tmp_path), tmp_path / "m.csv")
    again = read_manifest(tmp_path / "m.csv")
    assert again.classes is None
    assert again["a"].labels == clips[0].labels
    write_manifest(Manifest(clips, tmp_path), tmp_path / "M.TSV")
    assert read_manifest(tmp_path / "M.TSV").ids == ("a.wav",)
    with pytest.raises(AuricleError, match="a TSV holds whole files"):
        write_manifest(Manifest((replace(clips[0], start=1.0),), tmp_path), tmp_path / "m.tsv")


def test_spans_of_a_label_table_that_mean_something_else_do_not_hinder(tmp_path):
    for i in range(2):
        write_sound(tmp_path / "audio" / f"{i}.wav")
    text = "file_name,start,end,label,fold\n0.wav,0.5,1,dog,1\n1.wav,3.25,7.25,cat,2\n"
    with pytest.warns(ManifestWarning, match=r"the spans in us8k\.csv are not used"):
        found = read_manifest(tmp_path / "audio", labels=write(tmp_path / "us8k.csv", text))
    assert [(clip.labels, clip.fold, clip.start, clip.end) for clip in found] == [
        (("dog",), 1, None, None), (("cat",), 2, None, None),
    ]  # fmt: skip


def test_a_table_with_tabs_is_read_whatever_its_suffix(tmp_path):
    table = write(tmp_path / "meta.csv", "filename\tscene_label\na/0.wav\tpark\na/1.wav\tbus\n")
    assert [clip.labels for clip in read_manifest(table, label_column="scene_label")] == [("park",), ("bus",)]
