"""Speech features as targets: the crop of the log-mel and the crop of the features that belongs to it.

Source: [m2d 5.8](docs/specification/m2d.md#s5-8).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AudioError, AuricleError
from auricle.data.augment.noise import BackgroundNoise
from auricle.data.batch import collate
from auricle.data.datasets.base import CropConfig, SampleIndex
from auricle.data.datasets.speech import SpeechPairs, average_groups
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import ShuffledBatches
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.npy import open_array
from helpers.stores import store

WIDTH = 24


def published(folder: Path, frames: int = 71, valid: int = 30, clips: int = 2) -> Manifest:
    """The published layout: ``.npz`` of log-mel whose value is its frame, features whose value is their index."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(clips):
        log_mel = np.tile(np.arange(frames, dtype=np.float32), (1, 80, 1))
        features = np.tile(np.arange((frames - 1) // 2, dtype=np.float32)[:, None], (1, 1, 5))
        np.savez(folder / f"{i}.npz", log_mel, features, np.array(valid))
    names = "\n".join(f"{folder.name}/{i}.npz" for i in range(clips))
    (folder.parent / "files.csv").write_text(f"file_name\n{names}\n")
    return read_manifest(folder.parent / "files.csv")


def prepared(folder: Path, seconds: float = 0.5, features: int = 34, min_seconds: float = 0.7) -> Manifest:
    """The layout of ``auricle prepare speech``."""
    for name in ("lms", "features"):
        (folder / name / "a").mkdir(parents=True)
    np.save(folder / "lms/a/b.npy", np.tile(np.arange(71, dtype=np.float32), (1, 80, 1)))
    np.save(folder / "features/a/b.npy", np.arange(5 * features, dtype=np.float16).reshape(1, features, 5))
    (folder / "prepare.json").write_text(json.dumps({"settings": {"front_end": "m2d-logmel/16k"}}))
    (folder / "features/prepare.json").write_text(json.dumps({"settings": {"min_seconds": min_seconds}}))
    clip = Clip("a/b.wav", store="lms", key="a/b.npy", rate=16000, num_samples=round(16000 * seconds))
    write_manifest(Manifest((clip,), folder), folder / "manifest.csv")
    return read_manifest(folder)


@pytest.mark.parametrize("pw", [2, 4])
def test_the_features_of_a_crop_are_those_of_its_frames(tmp_path, pw):
    data = SpeechPairs(published(tmp_path / "data/hybrid"), WIDTH, pw)
    starts = set()
    for position in range(60):
        cut = data[SampleIndex(0, position, 0)].crop
        start = int(cut.values[0, 0])
        first = (WIDTH // 2 * start) // WIDTH
        expected = np.arange(first, first + WIDTH // 2, dtype=np.float32).reshape(-1, pw // 2).mean(axis=1)
        assert cut.values.shape == (80, WIDTH)
        assert cut.targets.shape == (WIDTH // pw, 5)
        np.testing.assert_array_equal(cut.targets[:, 0], expected)
        assert cut.crop_start == pytest.approx(start * 0.01)
        starts.add(start)
    last = 2 * (30 - 30 % pw) - WIDTH
    assert max(starts) == last, "crops end with the recording, in whole patches"
    assert min(starts) == 0


def test_a_recording_shorter_than_a_crop_is_taken_with_its_padding(tmp_path):
    data = SpeechPairs(published(tmp_path / "data/hybrid", valid=5), WIDTH, 2)
    cut = data[0].crop
    assert (cut.values[0, 0], cut.values[0, -1]) == (0, WIDTH - 1)
    np.testing.assert_array_equal(cut.targets[:, 0], np.arange(WIDTH // 2))


def test_the_published_crop_never_draws_the_last_start(tmp_path):
    manifest = published(tmp_path / "data/hybrid")
    data = SpeechPairs(manifest, WIDTH, 2, config=CropConfig(published_crop=True))
    assert max(data[SampleIndex(0, position, 0)].crop.values[0, 0] for position in range(300)) == 60 - WIDTH - 1


def test_batches_bring_targets_and_their_hop(tmp_path):
    data = SpeechPairs(published(tmp_path / "data/hybrid", clips=4), WIDTH, 4)
    batch = next(iter(make_loader(data, ShuffledBatches(4, 3))))
    assert batch.targets["frames"].shape == (3, WIDTH // 4, 5)
    assert batch.target_hop == pytest.approx(0.04)
    assert batch.front_end == "m2d-logmel/16k"
    assert data.target_width == 5
    same = collate([data[SampleIndex(0, place, int(id[7]))] for place, id in zip(batch.positions, batch.ids)])
    assert same.targets["frames"].equal(batch.targets["frames"]), "joined by id: the batch is a function of its keys"


def test_a_prepared_folder_pairs_by_key_and_counts_what_is_not_padding(tmp_path):
    manifest = prepared(tmp_path / "data")
    data = SpeechPairs(manifest, WIDTH, 2)
    pair = data.pair(manifest.clips[0])
    assert pair.valid == 34 * 8000 // 11200
    cut = data[0].crop
    first = int(cut.values[0, 0]) // 2
    np.testing.assert_array_equal(cut.targets[:, 0], 5 * np.arange(first, first + WIDTH // 2))
    assert cut.targets.dtype == np.float32


def test_noise_is_mixed_into_the_input_and_the_targets_stay_clean(tmp_path):
    plain = SpeechPairs(published(tmp_path / "data/hybrid"), WIDTH, 2)
    noisy = plain.with_noise(
        BackgroundNoise(store(tmp_path / "noise", {"hum": np.full((1, 80, 9), 40.0, np.float32)}), 0.0, 0.2), 0.0
    )
    one, other = plain[0].crop, noisy[0].crop
    np.testing.assert_array_equal(other.clean, one.values)
    np.testing.assert_array_equal(other.targets, one.targets)
    assert (other.values != one.values).any()


def test_averaging_leaves_out_an_incomplete_group():
    np.testing.assert_array_equal(average_groups(np.arange(5.0)[:, None], 2)[:, 0], [0.5, 2.5])


def test_the_log_mel_of_a_published_pair_can_be_read_alone(tmp_path):
    manifest = published(tmp_path / "data/hybrid")
    assert open_array(manifest.spectrogram(manifest.clips[0])).shape == (80, 71)


def test_recordings_without_features_are_reported(tmp_path):
    manifest = published(tmp_path / "data/hybrid")
    with pytest.raises(AuricleError, match="must both be even"):
        SpeechPairs(manifest, WIDTH + 1, 2)
    with pytest.raises(AuricleError, match="35 usable features and a crop needs 40"):
        SpeechPairs(manifest, 80, 2)[0]
    np.savez(tmp_path / "data/hybrid/0.npz", np.zeros((1, 80, 4), np.float32))
    with pytest.raises(AudioError, match="arr_0, arr_1, arr_2"):
        SpeechPairs(manifest, WIDTH, 2)[0]
    (tmp_path / "data/hybrid/0.npz").write_text("nothing")
    with pytest.raises(AudioError, match="not a readable"):
        SpeechPairs(manifest, WIDTH, 2)[0]


def test_a_folder_without_features_is_refused(tmp_path):
    manifest = prepared(tmp_path / "data")
    (tmp_path / "data/features/prepare.json").unlink()
    with pytest.raises(AuricleError, match="prepare speech"):
        SpeechPairs(manifest, WIDTH, 2)
