"""What a library raises about one file, row or clip is said in words, and the rest is done: a hostile file per library."""

from __future__ import annotations

import json
import pickle
import sqlite3
import struct
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.audio.decode import read
from auricle.audio.decode.libsndfile import SequentialFile
from auricle.cli.main import main
from auricle.commands.embed import index_file, read_index
from auricle.compat.lines import read_yaml as read_hydra
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import read_yaml
from auricle.data.manifest.formats import read_manifest
from auricle.data.stores.embeddings import DESCRIPTION, INDEX, EmbeddingStore
from auricle.data.stores.npy import open_array, read_card
from auricle.evaluation.evaluation import Evaluation
from auricle.evaluation.results import ResultsStore, record
from auricle.evaluation.suites.read import read_suite
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import save_encoder
from auricle.inference.embedder import ClipEmbedding
from auricle.methods.distillation.stored import StoredTeacher
from auricle.methods.distillation.stored import read_index as read_teacher_index
from auricle.reports.run_view import RunView
from auricle.reports.sections.training_curves import Reference
from auricle.reports.snapshot import FILE, load_snapshot
from auricle.training.log import read_log
from helpers.containers import pcm, sweep, wav
from helpers.encoders import logmel_stats, mn
from helpers.evaluation_data import EVALUATION
from helpers.sounds import tone, write_sound

DEEP = "[" * 100_000
NUMBER = "9" * 5000  # more digits than Python converts
HOSTILE_JSON = {
    "nested deeply": DEEP,
    "nested deeply in a row": '{"a": ' * 100_000,
    "a number of 5,000 digits": f'{{"format": {NUMBER}, "where": {NUMBER}}}',
    "null": "null",
    "a list": "[1, 2]",
    "an infinite number": '{"format": 1e999, "settings": 1, "train": 1, "task": 1}',
    "text where numbers are": '{"format": "x", "settings": "y", "rows": "z", "description": 3, "dtype": []}',
    "half a surrogate": '{"format": "\\ud800"}',
    "bytes that are no text": b"\xff\xfe\x00{",
    "nothing": "",
}
JSON = pytest.mark.parametrize("content", HOSTILE_JSON.values(), ids=HOSTILE_JSON)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(call, *arguments) -> str:
    with pytest.raises(AuricleError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def works_or_names(file: Path, call, *arguments) -> None:
    """What cannot be read is refused by the name of its file."""
    try:
        call(*(arguments or (file,)))
    except AuricleError as error:
        if file.name not in str(error):
            raise


# ---- JSON
@JSON
def test_json_files_are_refused_by_name_or_count_as_absent(tmp_path, content):
    readers = {
        "evaluation.json": Evaluation.load,
        "prepare.json": read_card,
        "log.txt": Reference.read,
        "teacher.json": read_teacher_index,
    }
    for name, reader in readers.items():
        if not (name == "log.txt" and not content):
            assert name in refusal(reader, write(tmp_path / name, content))
    assert read_log(write(tmp_path / "metrics.jsonl", content)) == []
    write(tmp_path / "e.npy", b"")
    write(index_file(tmp_path / "e.npy"), content)
    assert read_index(tmp_path / "e.npy") is None
    write(tmp_path / "store" / DESCRIPTION, content)
    assert DESCRIPTION in refusal(EmbeddingStore.open, tmp_path / "store")


def test_damaged_lines_of_tags_cost_no_other_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sound(tmp_path / "a.wav", tone(0.5))
    save_encoder(mn(), tmp_path / "mn.safetensors")
    words = ["tag", "a.wav", "--model", "mn.safetensors", "--out", "tags", "--quiet"]
    assert main(words) == 0
    good = (tmp_path / "tags/tags.jsonl").read_bytes()
    damaged = [content.encode() if isinstance(content, str) else content for content in HOSTILE_JSON.values()]
    write(tmp_path / "tags/tags.jsonl", b"\n".join([*damaged, good]))
    assert main(words) == 0
    assert (tmp_path / "tags/tags.jsonl").read_bytes() == good


@JSON
def test_a_report_is_made_without_what_is_damaged(tmp_path, content):
    run = RunFolder.create(tmp_path / "run", {"method": "m2d"})
    EVALUATION.save(run.path / "evaluations" / "good.json")
    write(run.path / "evaluations" / "bad.json", content)
    for name in ("environment.json", "metrics.jsonl"):
        write(run.path / name, content)
    view = RunView.open(run.path)
    assert [evaluation.task for evaluation in view.evaluations] == ["tones"]
    assert "bad.json" in view.problems[0]
    assert view.environment == {} or isinstance(view.environment, dict)


@JSON
def test_a_table_of_json_is_refused_by_name(tmp_path, content):
    for name in ("t.json", "t.jsonl"):
        assert "t.json" in refusal(read_manifest, write(tmp_path / name, content))


# ---- YAML
HOSTILE_YAML = {
    "an impossible date": "tasks: 2024-99-99\n",
    "nested deeply": "[" * 1000,  # twice as deep as the reader can go; its time grows with the square
    "an unknown tag": "tasks: !!python/object/apply:os.system [true]\n",
    "a cycle of aliases": "tasks: &a [*a]\n",
    "a control character": "tasks: \x00\n",
    "no text": b"\xff\xfe\xfd",
    "a mapping as a key": "? {a: 1}\n: b\n",
    "a number of 5,000 digits": f"tasks: {NUMBER}\n",
    "two documents": "a: 1\n---\nb: 2\n",
}


@pytest.mark.parametrize("content", HOSTILE_YAML.values(), ids=HOSTILE_YAML)
def test_yaml_files_are_refused_by_name(tmp_path, content):
    file = write(tmp_path / "s.yaml", content)
    assert "s.yaml" in refusal(read_suite, file)
    works_or_names(file, read_yaml)
    works_or_names(file, read_hydra, str(tmp_path), "s")


# ---- SQLite
CELLS = ["x", DEEP, NUMBER, "null", "[1]", '{"fold 1 / 0": "a"}', '{"fold 1 / 0": null}', 3, b"\xff", None]


@pytest.mark.parametrize("column", ["scores", "environment", "identity", "score", "model", "classes", "fingerprint"])
def test_a_damaged_row_of_the_results_costs_no_other(tmp_path, column):
    store = ResultsStore(tmp_path / "results.sqlite")
    record(EVALUATION, store)
    record(replace(EVALUATION, task="noises"), store)
    for cell in CELLS:
        with sqlite3.connect(store.path) as db, suppress(sqlite3.IntegrityError):
            db.execute(f"UPDATE results SET {column} = ? WHERE id = 1", [cell])
        rows = store.select()
        assert rows[-1].task == "noises"
        assert len(rows) + len(store.notes) == 2
    assert record(EVALUATION, store) in ([1], [3])


@pytest.mark.parametrize("layout", [DEEP, "null", "3", '{"clip": "wide"}', b"\xff"], ids=lambda x: repr(x)[:9])
def test_a_damaged_index_of_embeddings_is_made_again(tmp_path, layout):
    store = EmbeddingStore.create(tmp_path / "store", {})
    store.append([ClipEmbedding("a", {"clip": np.ones(3, np.float32)})])
    with sqlite3.connect(tmp_path / "store" / INDEX) as db:
        db.execute("UPDATE shards SET layout = ?", [layout])
    again = EmbeddingStore.open(tmp_path / "store")
    assert np.array_equal(again.vectors(), np.ones((1, 3)))
    assert any("made again" in note for note in again.notes)


# ---- safetensors
def safetensors(header: object, body: bytes = b"") -> bytes:
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


HEADERS = {
    "nested deeply": DEEP,
    "null": "null",
    "text": '"x"',
    "a number of 5,000 digits": NUMBER,
    "a tensor without a place": {"__metadata__": {"shard": "{}"}, "a": {"dtype": "F32", "shape": [1], "data_offsets": []}},
    "metadata nested deeply": {"__metadata__": {"shard": DEEP, "preview": DEEP}},
    "metadata of another kind": {"__metadata__": {"shard": "3", "preview": "3"}},
    "no metadata": {},
}  # fmt: skip


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_shards_and_previews_are_refused_by_name(tmp_path, header):
    store = EmbeddingStore.create(tmp_path / "store", {})
    store.append([ClipEmbedding("a", {"clip": np.ones(3, np.float32)})])
    store.append([ClipEmbedding("b", {"clip": np.ones(3, np.float32)})])
    first, _ = sorted((tmp_path / "store").glob("shard-*.safetensors"))
    write(first, safetensors(header))
    again = EmbeddingStore.open(tmp_path / "store")
    assert again.discard_damaged()
    assert again.ids == ("b",)
    write(tmp_path / FILE, safetensors(header))
    assert FILE in refusal(load_snapshot, tmp_path)


# ---- NumPy and zip
def npy(header: str, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


ARRAYS = {
    "a header that is no Python": npy("{'descr': '<f4', "),
    "a header nested deeply": npy("(" * 9000),
    "a shape beyond memory": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }\n"),
    "a negative shape": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2), }\n"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"\x01\x00") + pickle.dumps([1]),
    "an unknown type": npy("{'descr': '<q99', 'fortran_order': False, 'shape': (1,), }\n"),
    "an unknown version": npy("{}", b"\x09\x00"),
    "a null byte": npy("{'descr': '<f4\0', 'shape': (1,), 'fortran_order': False}"),
    "nothing": b"",
    "text": b"no array",
}


@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_arrays_are_refused_by_name(tmp_path, content):
    file = write(tmp_path / "a.npy", content)
    assert "a.npy" in refusal(open_array, file)
    assert "a.npy" in refusal(StoredTeacher.read, file, write(tmp_path / "i.json", "{}"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("arr_0.npy", content)
    assert "a.npz" in refusal(open_array, tmp_path / "a.npz")
    EVALUATION.save(tmp_path / "e.json")
    write(tmp_path / "e.scores.npy", content)
    assert Evaluation.load(tmp_path / "e.json").all_scores is None


@pytest.mark.parametrize("damage", ["compression", "encrypted", "checksum", "deflate"])
def test_damaged_archives_of_arrays_are_refused_by_name(tmp_path, damage):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, arr_0=np.random.default_rng(0).normal(size=(80, 50)).astype(np.float32))
    content = bytearray(file.read_bytes())
    central = content.index(b"PK\x01\x02")
    if damage == "compression":
        content[8:10] = content[central + 10 : central + 12] = b"\x63\x00"
    elif damage == "encrypted":
        content[6] |= 1
        content[central + 8] |= 1
    else:
        at = 200 if damage == "checksum" else 45
        content[at : at + 40] = b"\xff" * 40
    assert "a.npz" in refusal(open_array, write(file, bytes(content)))


# ---- tables
TABLES = {
    "a quote as separator": b'sep="\nfilename,label\na.wav,x\n',
    "a line end as separator": b"sep=\r\nfilename,label\na.wav,x\n",
    "a blank as separator": b"sep= \nfilename label\na.wav x\n",
    "half of UTF-16": b"\xff\xfef\0i\0l\0e",
    "a cell beyond the limit": b'filename,label\na.wav,"' + b"x" * 200_000 + b'"\n',
    "a NUL": b"filename,label\na\0.wav,x\n",
    "a quote without an end": b'filename,label\n"a.wav,x\n',
    "a number beyond floats": b"filename,start,end\na.wav,0," + b"9" * 400 + b"\n",
    "events nested deeply": b"filename,events\na.wav," + DEEP.encode() + b"\n",
    "a rate of 0": b"filename,rate,num_samples\na.wav,0,100\n",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_tables_are_read_or_refused_by_name(tmp_path, content):
    write_sound(tmp_path / "a.wav")
    file = write(tmp_path / "t.csv", content)
    works_or_names(file, read_manifest)


def test_a_table_of_parquet_that_is_damaged_is_refused_by_name(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the [data] extra")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the [data] extra")
    file = tmp_path / "t.parquet"
    late = pyarrow.array([2**60], pyarrow.timestamp("us"))  # a year that Python's dates do not reach
    parquet.write_table(pyarrow.table({"filename": ["a.wav"], "label": late}), file)
    assert "t.parquet" in refusal(read_manifest, file)
    content = bytearray(file.read_bytes())
    for at in range(4, len(content), 23):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        works_or_names(write(file, bytes(damaged)), read_manifest)


# ---- sound
def test_lack_of_memory_in_a_network_is_one_failed_clip(tmp_path, monkeypatch):
    files = [write_sound(tmp_path / f"{i}.wav", tone(0.5 + 0.5 * (i == 1), seed=i)) for i in range(3)]

    encoder = logmel_stats()
    whole = type(encoder).frontend

    def frontend(self, wave, *arguments, **options):
        if wave.shape[1] > 20_000:
            torch.empty(1 << 60, dtype=torch.uint8)  # as a recording of days would
        return whole(self, wave, *arguments, **options)

    monkeypatch.setattr(type(encoder), "frontend", frontend)
    found = auricle.embed(files, encoder, batch_size=3)
    assert len(found) == 2
    (message,) = found.failed.values()
    assert "needs more memory than there is; read it in windows" in message


def test_whatever_the_resampler_raises_is_one_failed_recording(tmp_path, monkeypatch):
    import soxr

    good, bad = write_sound(tmp_path / "good.wav", tone(0.5), 16000), write_sound(tmp_path / "bad.wav", tone(0.5), 8000)
    real = soxr.ResampleStream

    def failing(from_rate, *arguments, **options):
        if from_rate == 8000:
            raise RuntimeError("soxr: malloc failed")
        return real(from_rate, *arguments, **options)

    monkeypatch.setattr(soxr, "ResampleStream", failing)
    with pytest.raises(AudioError, match=r"bad\.wav: the decoder failed \(RuntimeError: soxr: malloc failed\)"):
        read(bad, rate=32000)
    tags = auricle.tag([bad, good], mn())
    assert [failure.file for failure in tags.failed] == [str(bad)]
    assert len(tags.results) == 1


def test_a_file_that_a_drive_loses_while_it_is_read_is_one_failed_clip(tmp_path, monkeypatch, capsys):
    for i in range(2):
        write(tmp_path / "in" / f"{i}.wav", wav(pcm(sweep(seed=i))))
    whole = SequentialFile.read

    def read_from_drive(self, *arguments, **options):
        if b"0.wav" in self.name:
            raise OSError(116, "Stale file handle")
        return whole(self, *arguments, **options)

    monkeypatch.setattr(SequentialFile, "read", read_from_drive)
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "in", "--out", "out", "--workers", "1", "--quiet"]) == 1
    assert "in/0.wav: Stale file handle" in capsys.readouterr().err
    assert len(list((tmp_path / "out" / "lms").glob("*.npy"))) == 1
