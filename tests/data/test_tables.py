"""Tables as files: how CSV files of other programs are written, the forms of JSON, and where errors point."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.tables import read_table

ROWS = [{"filename": "a.wav", "label": "dog", "fold": "1"}, {"filename": "b.wav", "label": "cat", "fold": "2"}]
PLAIN = "filename,label,fold\na.wav,dog,1\nb.wav,cat,2\n"
LAYOUTS = {
    "plain": PLAIN,
    "semicolons": PLAIN.replace(",", ";"),
    "semicolons and a mark": "\ufeff" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "bars": PLAIN.replace(",", "|"),
    "tabs": PLAIN.replace(",", "\t"),
    "sep": "sep=;\n" + PLAIN.replace(",", ";"),
    "sep in quotes": '"sep=|"\r\n' + PLAIN.replace(",", "|"),
    "sep and a mark": "\ufeffSEP=;\n" + PLAIN.replace(",", ";"),
    "blank rows at the end": PLAIN + ",,\n,,\n",
    "blank rows with blanks": PLAIN.replace("b.wav", " , ,\n\n,,\nb.wav"),
    "blank rows before the header": "\n,,\n;;\n" + PLAIN,
    "blank cells behind every row": PLAIN.replace("1\n", "1,,\n").replace("2\n", "2,\n"),
    "comments": "# made by Anna, Ben\n\n# on Sunday\n" + PLAIN,
    "a header in a comment": "# made by hand\n#" + PLAIN,
    "old line ends": PLAIN.replace("\n", "\r"),
    "a comma in a quoted name of a column": PLAIN.replace("label", '"label"'),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_of_every_layout_have_the_same_rows(tmp_path, layout):
    (tmp_path / "m.csv").write_text(LAYOUTS[layout], encoding="utf-8", newline="")
    assert list(read_table(tmp_path / "m.csv")) == ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_tables_of_spreadsheets_in_utf_16_are_read(tmp_path, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "m.csv").write_bytes((mark + PLAIN.replace(",", "\t").replace("dog", "dög")).encode(encoding))
    assert [row["label"] for row in read_table(tmp_path / "m.csv")] == ["dög", "cat"]


def test_of_two_columns_of_one_name_it_is_said_which_is_used(tmp_path):
    (tmp_path / "m.csv").write_text("filename,label,Label\na.wav,dog,cat\n")
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.clips[0].labels == ("cat",)
    assert "2 columns called 'Label'; the last one is used" in manifest.notes[0]


def test_columns_of_a_table_without_labels_are_named(tmp_path):
    (tmp_path / "m.csv").write_text("filename,dog,cat\na.wav,1,0\n")
    assert (
        "no column of labels; columns that are not used: dog, cat; --label-column"
        in read_manifest(tmp_path / "m.csv").notes[0]
    )
    (tmp_path / "m.csv").write_text("filename,fold\na.wav,1\n")
    assert not read_manifest(tmp_path / "m.csv").notes
    assert read_manifest(tmp_path / "m.csv", label_notes=False).notes == ()


def test_tables_of_ravens_and_birdnets_events_are_read(tmp_path):
    (tmp_path / "m.csv").write_text("Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n0.5\t1.5\ta.wav\twren\n")
    (tmp_path / "n.csv").write_text(
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n0.5,1.5,Troglodytes,wren,1,a.wav\n"
    )
    for name in ("m.csv", "n.csv"):
        clip = read_manifest(tmp_path / name).clips[0]
        assert (clip.path, clip.start, clip.end, clip.labels) == ("a.wav", 0.5, 1.5, ("wren",))


def test_a_column_that_is_called_number_sign_is_no_comment(tmp_path):
    (tmp_path / "m.csv").write_text("#,filename\n1,a.wav\n")
    assert list(read_table(tmp_path / "m.csv")) == [{"#": "1", "filename": "a.wav"}]


def test_decimal_commas_are_numbers_where_semicolons_separate(tmp_path):
    (tmp_path / "m.csv").write_text("filename;start;end;label\na.wav;0,5;1,25;dog,loud\n")
    clip = read_manifest(tmp_path / "m.csv").clips[0]
    assert (clip.start, clip.end, clip.labels) == (0.5, 1.25, ("dog", "loud"))
    (tmp_path / "m.csv").write_text('filename,start\na.wav,"0,5"\n')
    with pytest.raises(AuricleError, match="column 'start' holds '0,5'; expected seconds"):
        read_manifest(tmp_path / "m.csv")


def test_errors_name_the_line_of_the_file(tmp_path):
    text = 'sep=;\n# x\n\nfilename;label;start\na.wav;"two\nlines";0\n;;\n\nb.wav;dog;x\n'
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(AuricleError, match=r"m\.csv line 9: column 'start' holds 'x'"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text(text.replace(";x\n", ";1;2\n"))
    with pytest.raises(AuricleError, match=r"m\.csv line 9 has more cells than the header; quote cells .*';'"):
        read_manifest(tmp_path / "m.csv")


REFUSED = {
    "a spreadsheet": ("m.xlsx", b"PK\x03\x04", "is a spreadsheet; save the sheet as 'CSV UTF-8'"),
    "a spreadsheet by another name": ("m.csv", b"PK\x03\x04 and more", "is a spreadsheet or an archive, not text"),
    "an old encoding": (
        "m.csv",
        "filename,label\na.wav,h\xf6r\n".encode("latin-1"),
        "not UTF-8.*save it as 'CSV UTF-8'",
    ),
    "no header": ("m.csv", b"a.wav,dog\nb.wav,cat\n", r"begins with a clip \(a\.wav, dog\) instead of the names"),
    "a text file": ("m.txt", b"a.wav dog\n", r"is no audio; if it is a table, name it \.csv"),
    "JSON of another form": ("m.json", b'{"version": 3}', "holds .*; expected rows"),
    "JSON numbers": ("m.json", b"3", "holds 3; expected rows"),
    "JSON cut short": ("m.json", b'[\n{"file_name": "a.w', "line 2 is no JSON"),
    "JSON nested deeply": ("m.json", b"[" * 100_000, "nested too deeply"),
    "a line that is no row": ("m.jsonl", b'{"file_name": "a.wav"}\n\n[1]\n', "line 3: expected a row"),
    "a line cut short": ("m.jsonl", b'{"file_name": "a.wav"}\n{"file', "line 2 is no JSON"),
    "columns of other lengths": ("m.json", b'{"file_name": ["a.wav"], "label": []}', "expected rows"),
    "events without times": ("m.json", b'{"a.wav": [{"label": "dog"}]}', "expected rows"),
    "sound in a table": (
        "m.json",
        json.dumps([{"audio": {"path": "a.wav", "bytes": "x" * 500}}]).encode(),
        r"m\.json row 1: column 'audio' holds .{1,200}; expected the name of a file",
    ),
    "a vector": ("m.csv", b'path,label\na.wav,"[0, 1, 0]"\n', r"holds '\[0, 1, 0\]'; expected labels separated by"),
    "a NUL": ("m.csv", b"path,label\na\0.wav,dog\n", "expected the name of a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused_in_words(tmp_path, case):
    name, content, message = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AuricleError, match=message):
        read_manifest(tmp_path / name)


JSON = {
    "rows": [
        {"file_name": "a.wav", "label": "dog"},
        {"file_name": "b.wav", "labels": ["cat", "dog"], "label": ["cat", "dog"]},
    ],
    "rows in data": {"data": [{"wav": "a.wav", "labels": "dog"}, {"wav": "b.wav", "labels": "cat,dog"}]},
    "Hugging Face": [
        {"audio": {"path": "a.wav", "bytes": None}, "label": "dog"},
        {"audio": {"path": "b.wav", "array": None}, "label": ["cat", "dog"]},
    ],
    "columns": {"filename": ["a.wav", "b.wav"], "label": ["dog", ["cat", "dog"]]},
    "columns of pandas": {"filename": {"0": "a.wav", "1": "b.wav"}, "label": {"0": "dog", "1": "cat,dog"}},
    "pairs by file": {"a.wav": ["dog"], "b.wav": '["cat", "dog"]'},
    "HEAR": {"a.wav": ["dog"], "b.wav": ["cat", "dog"]},
    "text by file": {"a.wav": "dog", "b.wav": "cat,dog"},
    "rows by file": {"a.wav": {"label": "dog"}, "b.wav": {"label": ["cat", "dog"]}},
}


def labels_by_id(path: Path) -> dict[str, tuple[str, ...]]:
    return {clip.id: clip.labels for clip in read_manifest(path)}


@pytest.mark.parametrize("form", JSON)
def test_json_of_every_form_is_read(tmp_path, form):
    (tmp_path / "m.json").write_text(json.dumps(JSON[form]))
    assert labels_by_id(tmp_path / "m.json") == {"a.wav": ("dog",), "b.wav": ("cat", "dog")}


def test_json_lines_are_rows(tmp_path):
    lines = [json.dumps(row, ensure_ascii=False) for row in JSON["Hugging Face"]]
    (tmp_path / "m.jsonl").write_text("\n\n".join(lines) + "\n")
    assert labels_by_id(tmp_path / "m.jsonl") == {"a.wav": ("dog",), "b.wav": ("cat", "dog")}
    (tmp_path / "m.jsonl").write_text('{"file_name": "a.wav", "text": "one\u2028two"}\n', encoding="utf-8")
    assert read_manifest(tmp_path / "m.jsonl").clips[0].transcript == "one\u2028two"


def test_hears_events_are_in_milliseconds_and_its_lists_named_by_their_part(tmp_path):
    events = {
        "a.wav": [{"label": "dog", "start": 100.0, "end": 250.0}, {"label": "cat", "start": 0, "end": 1000}],
        "b.wav": [],
    }
    (tmp_path / "valid.json").write_text(json.dumps(events))
    (tmp_path / "fold03.json").write_text(json.dumps({"c.wav": ["dog"]}))
    first, second = read_manifest(tmp_path / "valid.json").clips
    assert first.events == ((pytest.approx(0.1), pytest.approx(0.25), "dog"), (0.0, 1.0, "cat"))
    assert (first.labels, second.labels, second.events) == (("dog", "cat"), (), ())
    assert {first.split, second.split} == {"valid"}
    assert read_manifest(tmp_path / "fold03.json").clips[0].fold == 3


def test_rows_of_python_may_be_hugging_faces(tmp_path):
    rows = [{"audio": {"path": str(tmp_path / "a.wav"), "array": None, "sampling_rate": 16000}, "label": 3}]
    assert read_manifest(rows).clips[0].labels == ("3",)


class Rows(list):
    """Rows with features, as a data set of Hugging Face has them."""

    features: ClassVar = {"label": SimpleNamespace(names=["dog", "cat"]), "audio": object()}


def test_classes_that_hugging_face_numbers_have_their_names(tmp_path):
    rows = Rows({"audio": {"path": f"{i}.wav"}, "label": i % 2} for i in range(3))
    assert [clip.labels for clip in read_manifest(rows, root=tmp_path)] == [("dog",), ("cat",), ("dog",)]
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = {
        "label": {"names": ["dog", "cat"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["loud", "near"], "_type": "ClassLabel"}},
    }
    columns = {
        "audio": [{"path": f"{i}.wav", "bytes": None} for i in range(3)],
        "label": [1, 0, -1],
        "tags": [[0, 1], [], [1]],
    }
    table = arrow.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "m.parquet")
    assert labels_by_id(tmp_path / "m.parquet") == {"0.wav": ("cat",), "1.wav": ("dog",), "2.wav": ()}
    tags = read_manifest(tmp_path / "m.parquet", label_column="tags")
    assert [clip.labels for clip in tags] == [("loud", "near"), (), ("near",)]
    parquet.write_table(table.replace_schema_metadata({"huggingface": "{"}), tmp_path / "m.parquet")
    assert labels_by_id(tmp_path / "m.parquet")["0.wav"] == ("1",)


@pytest.mark.parametrize("count", ["9" * 5000, "x", "1.5", "²"])
def test_counts_of_mae_asts_lists_are_counts(tmp_path, count):
    (tmp_path / "m.tsv").write_text(f"{tmp_path}\na.wav\t100 \x1f\n")
    assert read_manifest(tmp_path / "m.tsv").clips[0].num_samples == 100
    (tmp_path / "m.tsv").write_text(f"{tmp_path}\na.wav\t{count}\n")
    with pytest.raises(AuricleError, match="expected path<TAB>number of samples"):
        read_manifest(tmp_path / "m.tsv")


def test_a_class_list_may_be_json(tmp_path):
    (tmp_path / "classes.json").write_text('["dog", "Rain, heavy"]')
    (tmp_path / "m.csv").write_text('filename,label\na.wav,"Rain, heavy"\n')
    manifest = read_manifest(tmp_path / "m.csv", classes=tmp_path / "classes.json")
    assert (manifest.classes, manifest.clips[0].labels) == (("dog", "Rain, heavy"), ("Rain, heavy",))
    (tmp_path / "files.json").write_text('["a.wav", "b.wav"]')
    assert read_manifest(tmp_path / "files.json").ids == ("a.wav", "b.wav")
    (tmp_path / "m.csv").write_text("filename,label\na.wav,dog\n")
    (tmp_path / "classes.json").write_text('[{"name": "dog"}, {"name": "cat"}]')
    assert read_manifest(tmp_path / "m.csv", classes=tmp_path / "classes.json").classes == ("dog", "cat")
