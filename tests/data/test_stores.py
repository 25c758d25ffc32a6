"""The ClipStore contract, over every kind of store."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AudioError, AuricleError
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import ClipStore, StoredAudio, StoredSpectrogram, open_store
from helpers.published_sets import packed, write_recordings
from helpers.sounds import tone, write_sound


@dataclass
class Case:
    """A manifest of two clips, ``a`` and ``b``, what is stored of them, and the store that opens them."""

    manifest: Manifest
    stored: dict[str, np.ndarray]
    kind: str

    @property
    def store(self) -> ClipStore:
        return open_store(self.manifest, self.kind)


def read(opened: StoredAudio | StoredSpectrogram) -> np.ndarray:
    """(S,) or (F, N): all that is stored of a clip."""
    return opened.read(rate=16000).wave if isinstance(opened, StoredAudio) else np.array(opened.values)


def audio_files(folder: Path) -> Case:
    waves = {name: tone(0.5, hertz=hertz) for name, hertz in (("a", 300.0), ("b", 500.0))}
    for name, wave in waves.items():
        write_sound(folder / f"{name}.flac", wave)
    return Case(Manifest([Clip(name, path=f"{name}.flac") for name in waves], folder), waves, "audio")


def spectrogram_files(folder: Path, save: Callable, suffix: str) -> Case:
    (folder / "lms").mkdir(parents=True)
    arrays = {name: np.random.default_rng(i).normal(size=(80, 7 + i)).astype(np.float32) for i, name in enumerate("ab")}
    for name, array in arrays.items():
        save(folder / f"lms/{name}{suffix}", array[None])
    clips = [Clip(name, path=f"{name}.wav", store="lms", key=f"{name}{suffix}") for name in arrays]
    return Case(Manifest(clips, folder), arrays, "spectrogram")


def hdf5_audio(folder: Path) -> Case:
    pytest.importorskip("h5py", reason="[data] is not installed")
    write_recordings(folder / "mp3", ["a.mp3", "b.mp3"])
    targets = {f"{name}.mp3": np.ones(8) for name in "ab"}
    packed(folder, folder / "mp3", {"a.hdf": {"a.mp3": targets["a.mp3"]}, "b.hdf": {"b.mp3": targets["b.mp3"]}})
    waves = {name: StoredAudio(folder / f"mp3/{name}.mp3").read(rate=16000).wave for name in "ab"}
    return Case(Manifest([Clip(name, store=f"{name}.hdf", key=f"{name}.mp3") for name in "ab"], folder), waves, "audio")


def tar_audio(folder: Path) -> Case:
    loose = audio_files(folder / "loose")
    for name in loose.stored:  # each in a shard of its own
        with tarfile.open(folder / f"{name}.tar", "w") as shard:
            shard.add(folder / f"loose/{name}.flac", f"{name}.flac")
    clips = [Clip(name, store=f"{name}.tar", key=f"{name}.flac") for name in loose.stored]
    return Case(Manifest(clips, folder), loose.stored, "audio")


CASES = {
    "audio files": audio_files,
    "tar shards": tar_audio,
    "hdf5 audio": hdf5_audio,
    "npy files": partial(spectrogram_files, save=np.save, suffix=".npy"),
    "npz files": partial(spectrogram_files, save=np.savez, suffix=".npz"),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path) -> Case:
    return CASES[request.param](tmp_path)


def test_a_clip_is_opened_by_the_columns_of_the_manifest(case):
    for clip in case.manifest:
        np.testing.assert_allclose(read(case.store.open(clip)), case.stored[clip.id], atol=1e-4)


def test_the_order_of_the_manifest_and_the_place_of_the_table_do_not_matter(case, tmp_path):
    turned = replace(case.manifest, clips=case.manifest.clips[::-1])
    again = read_manifest(write_manifest(turned, tmp_path / "tables" / "m.csv"))
    store = open_store(again, case.kind)
    for id in ("a", "b"):
        np.testing.assert_array_equal(read(store.open(again[id])), read(case.store.open(case.manifest[id])))


def test_a_store_can_be_sent_to_another_process(case):
    store = pickle.loads(pickle.dumps(case.store))
    np.testing.assert_array_equal(read(store.open(case.manifest["b"])), read(case.store.open(case.manifest["b"])))


def test_a_missing_and_a_damaged_file_are_errors_of_that_clip(case):
    store, clip = case.store, case.manifest["a"]
    inner = clip.store if clip.in_archive else clip.path if case.kind == "audio" else f"{clip.store}/{clip.key}"
    file = case.manifest.root / inner
    file.write_bytes(b"nothing")
    with pytest.raises(AudioError, match=file.name):
        read(store.open(clip))
    file.unlink()
    with pytest.raises(AudioError, match=file.name):
        read(store.open(clip))
    assert len(read(store.open(case.manifest["b"])))


def test_a_clip_that_is_not_stored_is_named(case):
    with pytest.raises(AuricleError, match="'nowhere'"):
        case.store.open(Clip("nowhere"))


def test_a_part_of_a_recording_is_read_at_the_requested_rate(tmp_path):
    case = audio_files(tmp_path)
    audio = case.store.open(case.manifest["a"])
    assert audio.info().num_samples == 8000
    np.testing.assert_allclose(audio.read(0.125, 0.25, rate=16000).wave, case.stored["a"][2000:4000], atol=1e-4)
    assert len(audio.read(0.125, 0.25, rate=8000).wave) == 1000


def test_audio_may_be_bytes_of_an_archive(tmp_path):
    case = audio_files(tmp_path)
    content = case.manifest.audio(case.manifest["a"]).read_bytes()
    np.testing.assert_allclose(StoredAudio(content).read(rate=16000).wave, case.stored["a"], atol=1e-4)
