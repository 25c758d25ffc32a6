"""Tar shards in webdataset's layout: written crash-safe and repeatable, read at the crop, from a disk or an address."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import read
from auricle.commands.prepare.shards import ShardsConfig, prepare_shards
from auricle.core.errors import AudioError, AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import archive_manifest, open_store
from auricle.data.stores.tar.index import read_index
from auricle.data.stores.tar.ranges import BLOCK, LocalRanges, RemoteRanges
from auricle.data.stores.tar.write import plan_shards, shard_keys
from helpers.sounds import tone, write_sound, write_sounds


@pytest.fixture
def source(tmp_path) -> Path:
    """Twelve recordings of two classes, FLAC and WAV."""
    write_sounds(tmp_path / "sounds/dog", 6, suffix=".flac")
    write_sounds(tmp_path / "sounds/cat", 6, suffix=".wav")
    return tmp_path / "sounds"


def prepared(source: Path, out: Path, **settings) -> Path:
    prepare_shards(ShardsConfig(str(source), str(out), workers=0, quiet=True, **{"shard_size": "50KB", **settings}))
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---- writing
def test_a_shard_holds_audio_metadata_and_class_of_each_recording_under_one_key(source, tmp_path):
    out = prepared(source, tmp_path / "out")
    with tarfile.open(out / "clips-000000.tar") as shard:
        names = shard.getnames()
        keys = [name.partition(".")[0] for name in names]
        assert [name.partition(".")[2] for name in names[1::3]] == ["json"] * (len(names) // 3)
        assert [name.partition(".")[2] for name in names[2::3]] == ["cls"] * (len(names) // 3)
        assert keys[0] == keys[1] == keys[2]
        audio, metadata, label = (shard.extractfile(name).read() for name in names[:3])
    assert audio == (source / names[0]).read_bytes()
    assert json.loads(metadata) == {"id": names[0], "labels": [names[0].partition("/")[0]]}
    assert int(label) == ["cat", "dog"].index(names[0].partition("/")[0])


def test_the_manifest_names_all_clips_in_their_order_with_rate_and_length(source, tmp_path):
    manifest = read_manifest(prepared(source, tmp_path / "out"))
    assert manifest.ids == read_manifest(source).ids
    assert {(clip.path, clip.rate, clip.num_samples) for clip in manifest} == {(None, 16000, 8000)}
    assert {clip.labels for clip in manifest} == {("cat",), ("dog",)}
    store, loose = open_store(manifest, "audio"), read_manifest(source)
    for clip in manifest:
        expected = read(loose.audio(loose[clip.id]), start=0.1, end=0.3, rate=16000).wave
        np.testing.assert_array_equal(store.open(clip).read(0.1, 0.3, rate=16000).wave, expected)


def test_two_runs_give_equal_bytes_with_any_number_of_processes(source, tmp_path):
    first = contents(prepared(source, tmp_path / "one"))
    prepare_shards(ShardsConfig(str(source), str(tmp_path / "two"), shard_size="50KB", workers=2, quiet=True))
    again = contents(tmp_path / "two")
    assert sum(name.endswith(".tar") for name in first) >= 3
    assert first == again


def test_a_shard_holds_several_classes_unless_the_order_of_the_source_is_wanted(source, tmp_path):
    for order, most in (("shuffled", 2), ("source", 1)):
        out = prepared(source, tmp_path / order, order=order, shard_size="100KB")
        index = read_index(LocalRanges(str(out / "clips-000000.tar")))
        assert len({name.partition("/")[0] for name in index.recordings}) == most


def test_splits_are_in_shards_of_their_own(tmp_path):
    clips = [Clip(f"{i}.wav", f"{i}.wav", split=("train", "test")[i % 2]) for i in range(10)]
    tasks = plan_shards(Manifest(clips), [10] * 10, 25)
    assert [task.name for task in tasks][:2] == ["test-000000.tar", "test-000001.tar"]
    assert [len(task.entries) for task in tasks] == [2, 2, 1] * 2
    assert {entry.recording.path for task in tasks[3:] for entry in task.entries} == {
        f"{i}.wav" for i in range(0, 10, 2)
    }


def test_clips_of_one_recording_share_its_bytes(tmp_path):
    write_sound(tmp_path / "long.flac", tone(2.0))
    table = tmp_path / "clips.csv"
    table.write_text("id,path,start,end,label\na,long.flac,0,1,x\nb,long.flac,1,2,y\n", encoding="utf-8")
    manifest = read_manifest(prepared(table, tmp_path / "out"))
    with tarfile.open(tmp_path / "out/clips-000000.tar") as shard:
        assert shard.getnames() == ["long.flac", "long.json"]
        assert [clip["id"] for clip in json.load(shard.extractfile("long.json"))["clips"]] == ["a", "b"]
    b = manifest["b"]
    wave = open_store(manifest, "audio").open(b).read(b.start, b.end, rate=16000).wave
    np.testing.assert_allclose(wave, tone(2.0)[16000:], atol=1e-4)


def test_keys_have_no_dot_and_no_two_are_equal():
    keys = shard_keys(["a/x.1.wav", "a/x_1.wav", "a/X_1.flac", "b.c/y.wav", "../z.wav"])
    assert len(set(map(str.lower, keys))) == 5
    assert not any("." in key.rpartition("/")[2] for key in keys)
    assert keys[3:] == ["b.c/y", "z"]


def test_damaged_recordings_are_reported_and_left_out_in_every_run(source, tmp_path):
    (source / "dog/no sound.wav").write_bytes(b"nothing")
    whole = (source / "dog/clip001.flac").read_bytes()
    (source / "dog/cut.flac").write_bytes(whole[: len(whole) // 2])
    config = ShardsConfig(str(source), str(tmp_path / "out"), workers=0, quiet=True)
    for done, skipped in ((12, 0), (0, 12)):
        result = prepare_shards(config)
        assert (result.done, result.skipped) == (done, skipped)
        assert {failure.id for failure in result.failed} == {"dog/no sound.wav", "dog/cut.flac"}
    assert "no sound.wav" in (tmp_path / "out/failed.csv").read_text(encoding="utf-8")
    assert len(read_manifest(tmp_path / "out")) == 12


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/a.wav").write_bytes(b"nothing")
    with pytest.raises(AuricleError, match="none of 1 recordings"):
        prepared(tmp_path / "sounds", tmp_path / "out")


@pytest.mark.parametrize("size", ["0", "many", "-3MB"])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(AuricleError, match="--shard-size"):
        ShardsConfig("sounds", "out", shard_size=size)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_keeps_integers_of_wav(tmp_path, subtype):
    wave = np.stack([tone(0.5), tone(0.5, hertz=200.0)], axis=1)
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/a.wav", wave, 22050, subtype=subtype)
    manifest = read_manifest(prepared(tmp_path / "sounds", tmp_path / "out", encode="flac"))
    clip = manifest["a.wav"]
    assert (clip.key, clip.rate) == ("a.flac", 22050)
    audio = open_store(manifest, "audio").open(clip)
    assert audio.info().format == f"flac/{subtype.lower()}"
    expected = read(tmp_path / "sounds/a.wav", mono="keep").wave
    np.testing.assert_array_equal(read(audio.file, mono="keep").wave, expected)


def test_a_changed_recording_and_other_labels_write_only_their_shards_again(source, tmp_path):
    out = prepared(source, tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    manifest = read_manifest(out)
    changed = manifest["dog/clip002.flac"].store
    write_sound(source / "dog/clip002.flac", tone(hertz=3000.0))
    prepared(source, out)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert [name for name in before if before[name] != after.get(name)] == [changed]


def test_other_settings_need_another_folder(source, tmp_path):
    prepared(source, tmp_path / "out")
    with pytest.raises(AuricleError, match="other settings: encode was keep, now flac"):
        prepared(source, tmp_path / "out", encode="flac")


def test_shards_that_are_no_longer_planned_are_removed(source, tmp_path):
    out = prepared(source, tmp_path / "out")
    count = len(list(out.glob("*.tar")))
    for path in (source / "dog").iterdir():
        path.unlink()
    prepared(source, out)
    assert 0 < len(list(out.glob("*.tar"))) < count
    assert len(list(out.glob("*.tar"))) == len(list(out.glob("*.index.json")))


@pytest.mark.slow
def test_a_killed_run_leaves_whole_shards_that_the_next_run_keeps(tmp_path):
    write_sounds(tmp_path / "sounds", 60)
    config = ShardsConfig(str(tmp_path / "sounds"), str(tmp_path / "out"), shard_size="40KB", workers=0, quiet=True)
    code = (
        "import sys; from auricle.commands.prepare.shards import *; "
        "prepare_shards(ShardsConfig(sys.argv[1], sys.argv[2], shard_size='40KB', workers=0, quiet=True))"
    )
    line = [sys.executable, "-c", code, config.source, config.out]
    with subprocess.Popen(line) as process:
        while process.poll() is None and len(list(Path(config.out).glob("*.index.json"))) < 3:
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    kept = contents(Path(config.out))
    finished = [name for name in kept if name.endswith(".index.json")]
    result = prepare_shards(config)
    assert result.skipped >= len(finished)
    assert result.done + result.skipped == 60
    after = contents(Path(config.out))
    assert all(after[name] == kept[name] for name in finished)
    assert not [name for name in after if name.endswith(".tmp")]
    whole = contents(prepared(tmp_path / "sounds", tmp_path / "whole", shard_size="40KB"))
    assert {name: content for name, content in after.items() if ".tar" in name} == {
        name: content for name, content in whole.items() if ".tar" in name
    }


# ---- reading
def test_a_shard_without_index_and_of_another_program_is_read(tmp_path):
    files = write_sounds(tmp_path, 3, suffix=".flac")
    with tarfile.open(tmp_path / "other.tar", "w") as shard:
        for name in files:
            shard.add(tmp_path / name, f"folder/{name}")
            shard.add(__file__, f"folder/{name[:-5]}.txt")
    manifest = archive_manifest(tmp_path / "other.tar")
    assert manifest.ids == tuple(f"folder/{name}" for name in files)
    audio = open_store(manifest, "audio").open(manifest.clips[1])
    np.testing.assert_array_equal(audio.read(rate=16000).wave, read(tmp_path / files[1], rate=16000).wave)


def test_damage_of_shard_and_index_is_told_in_words(source, tmp_path):
    out = prepared(source, tmp_path / "out")
    manifest = read_manifest(out)
    clip = manifest.clips[0]
    shard, index = out / clip.store, out / clip.store.replace(".tar", ".index.json")
    whole, text = shard.read_bytes(), index.read_text(encoding="utf-8")

    def error() -> str:
        with pytest.raises(AudioError) as caught:
            open_store(manifest, "audio").open(clip)
        return str(caught.value)

    shard.write_bytes(whole[:-5000])
    assert "one of them is not whole" in error()
    offset = json.loads(text)["recordings"][clip.key][0]
    shard.write_bytes(whole[: offset - 512] + bytes(512) + whole[offset:])
    assert f"'{clip.key}' is not at byte {offset}" in error()
    shard.write_bytes(whole)
    index.write_text(text[:100], encoding="utf-8")
    assert "index.json is damaged (no JSON" in error()
    index.write_text(text.replace('"format":1', '"format":9'), encoding="utf-8")
    assert "newer auricle" in error()
    index.unlink()
    shard.write_bytes(whole[: len(whole) // 2 + 1])
    assert "no whole tar file" in error()
    shard.write_bytes(whole)
    assert open_store(manifest, "audio").open(clip).info().num_samples == 8000
    with pytest.raises(AudioError, match=r"holds no 'gone.wav'"):
        open_store(manifest, "audio").open(replace(clip, key="gone.wav"))


def test_loose_files_and_shards_may_be_in_one_manifest(source, tmp_path):
    manifest = read_manifest(prepared(source, tmp_path / "out"))
    loose = Clip("loose", str(source / "dog/clip000.flac"))
    store = open_store(replace(manifest, clips=(*manifest, loose)), "audio")
    expected = store.open(manifest["dog/clip000.flac"]).read(rate=16000).wave
    np.testing.assert_array_equal(store.open(loose).read(rate=16000).wave, expected)


# ---- addresses
@pytest.fixture
def addressed(tmp_path, monkeypatch) -> tuple[Manifest, object]:
    """A manifest of shards in fsspec's file system in memory: a minute of WAV, and its compressed copy."""
    fsspec = pytest.importorskip("fsspec", reason="[cloud] is not installed")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    write_sound(tmp_path / "sounds/minute.wav", tone(60.0))
    write_sound(tmp_path / "sounds/short.flac", tone(1.0))
    out = prepared(tmp_path / "sounds", tmp_path / "out", url=f"memory://{tmp_path.name}")
    files = fsspec.filesystem("memory")
    files.put(str(out), f"/{tmp_path.name}", recursive=True)
    return read_manifest(out), files


def fetched(monkeypatch, files) -> list[int]:
    """The bytes of every request from here on."""
    sizes: list[int] = []
    original = type(files).cat_file

    def counting(self, path, start=None, end=None, **more):
        content = original(self, path, start=start, end=end, **more)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(type(files), "cat_file", counting)
    return sizes


def test_of_a_long_recording_at_an_address_only_the_crop_is_fetched_and_only_once(addressed, monkeypatch, tmp_path):
    manifest, files = addressed
    clip = manifest["minute.wav"]
    assert clip.store.startswith(f"memory://{tmp_path.name}/clips-")
    sizes = fetched(monkeypatch, files)
    wave = open_store(manifest, "audio").open(clip).read(30.0, 31.0, rate=16000).wave
    np.testing.assert_allclose(wave, tone(60.0)[480000:496000], atol=1e-4)
    assert 0 < sum(sizes) <= 4 * BLOCK < clip.num_samples * 2
    del sizes[:]
    again = (
        open_store(manifest, "audio").open(clip).read(30.0, 31.0, rate=16000).wave
    )  # a new store, as of another process
    np.testing.assert_array_equal(again, wave)
    assert sizes == []


def test_a_recording_that_moved_to_another_store_reads_as_before(addressed):
    manifest, _ = addressed
    store = pickle.loads(pickle.dumps(open_store(manifest, "audio")))
    wave = store.open(manifest["short.flac"]).read(rate=16000).wave
    np.testing.assert_allclose(wave, tone(1.0), atol=1e-4)


def test_a_cache_that_cannot_be_written_or_was_cut_costs_only_time(addressed, tmp_path, monkeypatch):
    manifest, _ = addressed
    clip = manifest["short.flac"]
    wave = open_store(manifest, "audio").open(clip).read(rate=16000).wave
    for block in (tmp_path / "cache/shards").glob("*/*"):
        block.write_bytes(block.read_bytes()[:10])
    np.testing.assert_array_equal(open_store(manifest, "audio").open(clip).read(rate=16000).wave, wave)
    monkeypatch.setenv("AURICLE_CACHE", str(Path(__file__)))  # no folder
    np.testing.assert_array_equal(open_store(manifest, "audio").open(clip).read(rate=16000).wave, wave)


def test_an_address_without_a_shard_or_of_an_unknown_kind_is_an_error_of_that_clip(addressed):
    manifest, _ = addressed
    clip = manifest["short.flac"]
    with pytest.raises(AudioError, match=r"memory://nowhere/a.tar: no such file"):
        open_store(manifest, "audio").open(replace(clip, store="memory://nowhere/a.tar"))
    with pytest.raises(AudioError, match=r"nosuch://x/a.tar: cannot be opened"):
        open_store(manifest, "audio").open(replace(clip, store="nosuch://x/a.tar"))


def test_a_request_that_fails_or_is_cut_is_an_error_and_is_not_kept(addressed, monkeypatch):
    manifest, files = addressed
    ranges = RemoteRanges(manifest["minute.wav"].store)
    original = type(files).cat_file
    for broken, message in (
        (lambda *_, **__: b"short", "and got 5"),
        (lambda *_, **__: 1 / 0, "cannot be read .ZeroDivisionError"),
    ):
        monkeypatch.setattr(type(files), "cat_file", broken)
        with pytest.raises(AudioError, match=message):
            ranges.read(0, 100)
    monkeypatch.setattr(type(files), "cat_file", original)
    assert len(ranges.read(0, 100)) == 100


def test_an_address_must_be_one():
    with pytest.raises(AuricleError, match="--url is an address"):
        ShardsConfig("sounds", "out", url="folder")


def test_webdataset_reads_the_shards(source, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="pip install webdataset, where its reading is to be tested")
    out = prepared(source, tmp_path / "out")
    samples = list(webdataset.WebDataset(sorted(map(str, out.glob("*.tar"))), shardshuffle=False))
    assert len(samples) == 12
    for sample in samples:
        metadata = json.loads(sample["json"])
        suffix = metadata["id"].rpartition(".")[2]
        assert sample["__key__"] + "." + suffix == metadata["id"]
        assert sample[suffix] == (source / metadata["id"]).read_bytes()
        assert ["cat", "dog"][int(sample["cls"])] == metadata["labels"][0]
