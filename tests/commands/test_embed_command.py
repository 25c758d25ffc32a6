"""``auricle embed``: every format with its index, resumed after a kill, exit 1 when some files are broken;
scikit-learn's door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auricle.cli.main import main
from auricle.commands.embed import EmbedConfig, embed
from auricle.compat.sklearn import AudioEncoder
from auricle.core.errors import AuricleError
from auricle.core.locks import held
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.embeddings import corpus_store
from auricle.hub.weight_file import save_encoder
from auricle.inference.embedder import embed as embed_all
from helpers.encoders import logmel_stats, m2d
from helpers.evaluation_data import corpus
from helpers.patience import PATIENCE


@pytest.fixture
def folder(tmp_path):
    corpus(tmp_path / "audio", per_class=3)
    return tmp_path / "audio"


def config(folder, out, **change):
    return EmbedConfig(source=(str(folder),), model="logmel-stats", out=str(out), **change)


def index_of(out):
    return json.loads(out.with_name(out.name + ".index.json").read_text())


def test_npy_rows_follow_the_index(folder, tmp_path):
    out = tmp_path / "e.npy"
    result = embed(config(folder, out), quiet=True)
    expected = embed_all(folder, logmel_stats())
    rows = np.load(out)
    assert (result.clips, result.width, result.failed) == (9, 256, {})
    assert [clip["id"] for clip in index_of(out)["clips"]] == list(expected.ids)
    assert np.array_equal(rows, expected.clip)


def test_frames_have_their_times(folder, tmp_path):
    out = tmp_path / "e.npy"
    embed(config(folder, out, level="frames"), quiet=True)
    rows, times, index = np.load(out), np.load(tmp_path / "e.times.npy"), index_of(out)
    assert len(rows) == len(times) == sum(clip["rows"] for clip in index["clips"])
    second = index["clips"][1]
    assert times[second["row"]] == 0.0
    expected = embed_all(folder, logmel_stats(), level="frames")
    assert np.array_equal(rows[second["row"] : second["row"] + second["rows"]], expected.frames[1])


def test_npz_and_parquet_hold_ids_and_vectors(folder, tmp_path):
    expected = embed_all(folder, logmel_stats())
    embed(config(folder, tmp_path / "e.npz"), quiet=True)
    archive = np.load(tmp_path / "e.npz")
    assert tuple(archive["ids"]) == expected.ids
    assert np.array_equal(archive["embeddings"], expected.clip)
    parquet = pytest.importorskip("pyarrow.parquet", reason="[data] is not installed")
    embed(config(folder, tmp_path / "e.parquet", level="frames"), quiet=True)
    table = parquet.read_table(tmp_path / "e.parquet")
    assert table.column_names == ["id", "embedding", "time"]
    assert set(table["id"].to_pylist()) == set(expected.ids)


def test_a_finished_output_is_not_changed_and_another_not_overwritten(folder, tmp_path):
    out = tmp_path / "e.npy"
    embed(config(folder, out), quiet=True)
    before = out.stat().st_mtime_ns
    assert embed(config(folder, out), quiet=True).kept == 9
    assert out.stat().st_mtime_ns == before
    with pytest.raises(AuricleError, match="--overwrite"):
        embed(config(folder, out, level="frames"), quiet=True)
    assert embed(config(folder, out, level="frames", overwrite=True), quiet=True).width == 128


def test_finished_parts_are_not_computed_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_store, "STORE_CLIPS", 4)
    out, whole = tmp_path / "e.npy", tmp_path / "whole.npy"
    embed(config(folder, whole, level="frames"), quiet=True)

    def full_disk(*_):
        raise AuricleError("the disk is full")

    monkeypatch.setattr("auricle.commands.embed.write_output", full_disk)
    with pytest.raises(AuricleError, match="full"):
        embed(config(folder, out, level="frames"), quiet=True)
    monkeypatch.undo()
    assert embed(config(folder, out, level="frames"), quiet=True).kept == 9
    assert np.array_equal(np.load(out), np.load(whole))
    assert not (tmp_path / "e.npy.parts").exists()


SLOW = """
import itertools, sys, time
from auricle.embeddings import corpus_store
from auricle.inference import embedder as inner
corpus_store.STORE_CLIPS = 2
encode = inner.Embedder._encode
calls = itertools.count()
inner.Embedder._encode = lambda *a: (next(calls) < 4 or time.sleep(600), encode(*a))[1]  # it is killed in the fifth call
from auricle.cli.main import main
sys.exit(main(["embed", sys.argv[1], "--model", "logmel-stats", "--out", sys.argv[2], "--batch-size", "1", "--quiet"]))
"""


def test_a_killed_run_continues_where_it_was(folder, tmp_path):
    out, parts = tmp_path / "e.npy", tmp_path / "e.npy.parts"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), str(out)])
    until = time.monotonic() + PATIENCE
    while not list(parts.glob("shard-*")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not out.exists()
    result = embed(config(folder, out), quiet=True)
    assert result.kept >= 2
    assert np.abs(np.load(out) - embed_all(folder, logmel_stats()).clip).max() < 1e-4


def test_broken_files_make_the_command_exit_with_one(folder, tmp_path, capsys):
    (folder / "low-0.wav").write_text("no audio")
    command = ["embed", str(folder), "--model", "logmel-stats", "--out", str(tmp_path / "e.npy"), "--json", "--quiet"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "low-0.wav" in said.err
    assert json.loads(said.out)["clips"] == 8
    assert main(command) == 1


def test_files_folders_and_missing_ones_mix(folder, tmp_path):
    source = (str(folder), str(folder / "low-0.wav"), str(tmp_path / "missing.wav"))
    result = embed(EmbedConfig(source=source, model="logmel-stats", out=str(tmp_path / "e.npy")), quiet=True)
    assert result.clips == 9  # the file that is in the folder too is embedded once
    assert list(result.failed) == [str(tmp_path / "missing.wav")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--out", "e.txt"], ".npy, .npz, .parquet"),
        (["--model", "logmel-stat"], "did you mean logmel-stats"),
        (["--layers", "all"], "no blocks"),
        (["--seconds", "-1"], "positive"),
    ],
)
def test_wrong_commands_exit_with_two(folder, tmp_path, capsys, change, message):
    base = ["embed", str(folder), "--model", "logmel-stats", "--out", str(tmp_path / "e.npy"), "--quiet"]
    assert main([*base, *change]) == 2
    assert message in capsys.readouterr().err


def test_a_weight_file_is_a_model(folder, tmp_path):
    save_encoder(m2d(), tmp_path / "encoder.safetensors")
    command = ["embed", str(folder), "--model", str(tmp_path / "encoder.safetensors"), "--out", str(tmp_path / "e.npy")]
    assert main([*command, "--layers", "0", "-1", "--pooling", "mean_std", "--quiet"]) == 0
    assert np.load(tmp_path / "e.npy").shape == (9, 2 * 2 * 5 * 32)


def test_the_transformer_works_in_a_cross_validated_pipeline(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    paths = sorted(folder.glob("*.wav"))
    labels = [path.name.split("-")[0] for path in paths]
    pipeline = make_pipeline(AudioEncoder("logmel-stats", seconds=0.2), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, paths, labels, cv=3).mean() > 0.6
    plain = AudioEncoder(logmel_stats(), seconds=0.2, cache=False).fit_transform(paths)
    assert np.abs(plain - pipeline[0].transform(paths)).max() < 1e-4


def test_the_transformer_refuses_a_broken_file(tmp_path):
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(AuricleError, match=r"bad\.wav"):
        AudioEncoder(cache=False).transform([tmp_path / "bad.wav"])


# ---- the store as output
def to_store(folder, out, **change):
    return embed(config(folder, out, **change), quiet=True)


def test_a_folder_as_output_is_an_embedding_store(folder, tmp_path):
    result = to_store(folder, tmp_path / "birds", level="frames")
    store, expected = EmbeddingStore.open(tmp_path / "birds"), embed_all(folder, logmel_stats(), level="frames")
    assert (result.clips, result.kept, result.width, result.failed) == (9, 0, 128, {})
    assert np.array_equal(store.vectors(expected.ids), expected.clip)
    assert np.array_equal(store[expected.ids[3]].frames, expected.frames[3])
    assert np.array_equal(store[expected.ids[3]].times, expected.times[3])
    assert store.description["encoder"] == logmel_stats().fingerprint()


def test_the_same_command_appends_what_a_store_lacks_and_replaces_what_changed(folder, tmp_path):
    out = f"{tmp_path / 'birds.v2'}/"
    broken = folder / "low-0.wav"
    good = broken.read_bytes()
    broken.write_text("no audio")
    assert set(to_store(folder, out).failed) == set(EmbeddingStore.open(out).failures) == {"low-0.wav"}
    broken.write_bytes(good)
    (folder / "low-1.wav").write_bytes((folder / "high-0.wav").read_bytes())
    result = to_store(folder, out)
    assert (result.clips, result.kept, result.failed) == (9, 7, {})
    store = EmbeddingStore.open(out)
    assert store.failures == {}
    assert np.array_equal(*store.vectors(["low-1.wav", "high-0.wav"]))
    assert to_store(folder, out).kept == 9


def test_a_store_of_other_settings_is_refused_or_overwritten(folder, tmp_path):
    out = tmp_path / "birds"
    to_store(folder, out)
    with pytest.raises(AuricleError, match=r"made from something else \(level\)"):
        to_store(folder, out, level="frames")
    assert to_store(folder, out, level="frames", overwrite=True).width == 128
    with pytest.raises(AuricleError, match="other files"):
        to_store(folder, folder, overwrite=True)


@pytest.mark.parametrize("level", ["clip", "frames"])
def test_files_are_written_in_parts_with_the_bytes_that_numpy_writes(folder, tmp_path, monkeypatch, level):
    monkeypatch.setattr("auricle.embeddings.arrays.CLIPS_AT_ONCE", 2)
    monkeypatch.setattr(corpus_store, "STORE_CLIPS", 4)
    expected = embed_all(folder, logmel_stats(), level=level)
    rows = expected.clip if expected.frames is None else np.ascontiguousarray(np.concatenate(expected.frames))
    arrays = {"ids": np.array(expected.ids), "embeddings": rows}
    if expected.frames is not None and expected.times is not None:
        counts = np.array([len(frames) for frames in expected.frames])
        arrays |= {"times": np.concatenate(expected.times), "counts": counts}
        np.save(tmp_path / "expected.times.npy", arrays["times"])
    np.save(tmp_path / "expected.npy", rows)
    np.savez(tmp_path / "expected.npz", **arrays)
    for suffix in ("npy", "npz"):
        embed(config(folder, tmp_path / f"e.{suffix}", level=level), quiet=True)
        assert (tmp_path / f"e.{suffix}").read_bytes() == (tmp_path / f"expected.{suffix}").read_bytes()
    times = (tmp_path / "e.times.npy").exists()
    assert times == (level == "frames")
    assert not times or (tmp_path / "e.times.npy").read_bytes() == (tmp_path / "expected.times.npy").read_bytes()


def test_parts_of_the_first_edition_are_computed_again(folder, tmp_path):
    parts = tmp_path / "e.npy.parts"
    parts.mkdir()
    (parts / "settings.json").write_text("{}")
    (parts / "part-00000.safetensors").write_bytes(b"old")
    assert embed(config(folder, tmp_path / "e.npy"), quiet=True).kept == 0
    assert not parts.exists()


# ---- killed, full, shared
@pytest.mark.parametrize("name", ["e.npy", "e.npz", "e.parquet"])
@pytest.mark.parametrize("level", ["clip", "frames"])
def test_a_run_killed_between_the_array_and_its_index_continues(name, level, folder, tmp_path):
    out = tmp_path / name
    embed(config(folder, out, level=level), quiet=True)
    index_of_before = index_of(out)
    out.with_name(name + ".index.json").unlink()
    assert embed(config(folder, out, level=level), quiet=True).clips == 9
    assert index_of(out) == index_of_before


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"made_from": 1}'])
def test_a_damaged_index_is_made_again(text, folder, tmp_path):
    out = tmp_path / "e.npy"
    embed(config(folder, out), quiet=True)
    before = index_of(out)
    out.with_name("e.npy.index.json").write_text(text)
    assert embed(config(folder, out), quiet=True).clips == 9
    assert index_of(out) == before


@pytest.mark.parametrize(
    "rows",
    [np.zeros((9, 256), np.float32), np.zeros((10, 256), np.float32), np.zeros(9), np.array(["a"]), None],
    ids=["other numbers", "more rows", "one axis", "text", "no array"],
)
def test_an_array_of_somebody_else_is_not_overwritten(rows, folder, tmp_path):
    out = tmp_path / "e.npy"
    if rows is None:
        out.write_bytes(b"my notes")
    else:
        np.save(out, rows)
    before = out.read_bytes()
    with pytest.raises(AuricleError, match="--overwrite"):
        embed(config(folder, out), quiet=True)
    assert out.read_bytes() == before
    assert embed(config(folder, out, overwrite=True), quiet=True).clips == 9


def test_a_second_command_for_the_same_file_is_told_who_holds_it(folder, tmp_path):
    out = tmp_path / "e.npy"
    with held(tmp_path / ".e.npy.lock", "it", "wait"), pytest.raises(AuricleError, match="in use by process"):
        embed(config(folder, out), quiet=True)
    embed(config(folder, out), quiet=True)
    assert sorted(os.listdir(tmp_path)) == ["audio", "e.npy", "e.npy.index.json"]


@pytest.mark.parametrize("out", ["e.npy", "e.npz", "store/"])
@pytest.mark.parametrize("limit", [2000, 8000])  # no room for the index of the store; none for its vectors
def test_a_full_disk_is_one_line_and_the_same_command_continues(out, limit, folder, tmp_path, monkeypatch, capsys):
    resource = pytest.importorskip("resource")
    monkeypatch.chdir(tmp_path)
    line = ["embed", str(folder), "--model", "logmel-stats", "--out", out, "--quiet"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        assert main(line) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert out.rstrip("/") in error
    assert "make room" in error
    assert main(line) == 0
    assert "9 clips" in capsys.readouterr().out


def test_a_folder_without_audio_is_named_and_the_others_are_embedded(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    line = ["--model", "logmel-stats", "--out", str(tmp_path / "e.npy"), "--quiet"]
    assert main(["embed", str(tmp_path / "empty"), *line]) == 2
    assert "empty" in capsys.readouterr().err
    assert main(["embed", str(tmp_path / "empty"), str(folder), *line]) == 1
    shown = capsys.readouterr()
    assert "9 clips" in shown.out
    assert "empty" in shown.err


def test_nothing_is_left_to_do_without_a_bar(folder, tmp_path, capsys):
    line = ["embed", str(folder), "--model", "logmel-stats", "--out", f"{tmp_path / 'store'}/"]
    assert main(line) == 0
    capsys.readouterr()
    assert main(line) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav", "dir/" * 2000 + "a.wav"], ids=["nul", "long", "deep"])
def test_a_name_that_no_file_can_have_is_a_failure_and_the_others_are_embedded(name, folder, tmp_path):
    result = embed(
        EmbedConfig(source=(name, str(folder)), model="logmel-stats", out=str(tmp_path / "e.npy")), quiet=True
    )
    assert (result.clips, list(result.failed)) == (9, [name])
    with pytest.raises(AuricleError):
        embed(EmbedConfig(source=(name,), model="logmel-stats", out=str(tmp_path / "f.npy")), quiet=True)
