"""Noise mixed into sound without stored spectrograms: the same mixture as from a prepared folder."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.augment.noise import BackgroundNoise
from auricle.data.datasets.base import SampleIndex
from auricle.data.datasets.spectrograms import LiveSpectrograms, Spectrograms
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import ShuffledBatches
from auricle.data.manifest.formats import read_manifest
from auricle.training.log import read_log
from helpers.sounds import tone, write_sound, write_sounds
from helpers.training_runs import flags

FRAMES = 41
SECONDS = (FRAMES - 1) * 0.01
FRONT_END = "m2d-logmel/16k"


@pytest.fixture
def folders(tmp_path):
    """Sounds and noises exactly one crop long, and the same prepared."""
    for i, name in enumerate(("main", "noise")):
        write_sounds(tmp_path / name, 3 + i, seconds=SECONDS)
        assert main(["prepare", str(tmp_path / name), "--out", str(tmp_path / f"{name}-lms"), "--quiet"]) == 0
    return tmp_path


def test_a_mixture_made_from_sound_is_that_of_the_prepared_folders(folders):
    stored = Spectrograms(read_manifest(folders / "main-lms"), FRAMES)
    stored = stored.with_noise(BackgroundNoise(read_manifest(folders / "noise-lms"), -6.0, 0.3), -7.0)
    live = LiveSpectrograms(read_manifest(folders / "main"), FRAMES, FRONT_END)
    live = live.with_noise(BackgroundNoise(read_manifest(folders / "noise"), -6.0, 0.3, front_end=FRONT_END), -7.0)
    for position in range(6):
        item = SampleIndex(0, position, position % 3)
        one, other = stored[item].crop, live[item].crop
        np.testing.assert_allclose(other.values, one.values, atol=1e-5)
        np.testing.assert_allclose(other.clean, one.clean, atol=1e-5)
        assert (other.length, other.crop_start) == (one.length, one.crop_start)
        assert (other.values != other.clean).any()


def test_long_noise_is_a_keyed_span_and_short_noise_repeated(tmp_path):
    write_sound(tmp_path / "noise/long.wav", tone(2.0))
    write_sound(tmp_path / "other/short.wav", tone(0.005))
    long = BackgroundNoise(read_manifest(tmp_path / "noise"), 0.0, 0.3, front_end=FRONT_END)
    spans = [long.centred(RandomKey(0, 0, i), FRAMES) for i in (0, 1, 0)]
    assert all(span.shape == (80, FRAMES) for span in spans)
    np.testing.assert_array_equal(spans[0], spans[2])
    assert (spans[0] != spans[1]).any()
    short = BackgroundNoise(read_manifest(tmp_path / "other"), 0.0, 0.3, front_end=FRONT_END).centred(
        RandomKey(0), FRAMES
    )
    assert short.shape == (80, FRAMES)
    np.testing.assert_array_equal(short[:, :2], short[:, 2:4])


def test_batches_from_sound_do_not_depend_on_workers(folders):
    live = LiveSpectrograms(read_manifest(folders / "main"), 30, FRONT_END)
    live = live.with_noise(BackgroundNoise(read_manifest(folders / "noise"), -6.0, 0.3, front_end=FRONT_END), -7.0)
    one, two = (next(iter(make_loader(live, ShuffledBatches(3, 3), workers))) for workers in (0, 1))
    assert one.spec.equal(two.spec)
    assert one.clean.equal(two.clean)
    assert (one.front_end, one.spec.shape) == (FRONT_END, (3, 80, 30))


def test_noise_from_audio_needs_a_front_end(folders):
    with pytest.raises(AuricleError, match="is sound"):
        BackgroundNoise(read_manifest(folders / "noise"), 0.0, 0.3).centred(RandomKey(0), FRAMES)


def test_a_run_hears_noise_in_folders_of_sound(folders, tmp_path):
    words = flags(folders / "main", tmp_path / "run", csv_bg_noise=str(folders / "noise"), noise_ratio=0.3, epochs=1)
    words[words.index("--batch-size") + 1] = "3"
    assert main([*words, "--warmup-epochs", "0", "--quiet"]) == 0
    assert read_log(tmp_path / "run/metrics.jsonl", "step")[-1]["loss"] > 0
