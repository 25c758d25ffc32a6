"""Crops, padding, noise and statistics, against the golden vectors of the original program.

Source: [m2d 5.2](docs/specification/m2d.md#s5-2).
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.augment.noise import BackgroundNoise, log_mix, repeat_to_length
from auricle.data.datasets.base import CropConfig, SampleIndex, crop_start, epoch_length, fit_length
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.loading.statistics import Moments, Statistics, sampled_statistics
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.npy import open_array
from auricle.frontends.base import front_end
from helpers.paths import GOLDEN
from helpers.replays import TorchReplay
from helpers.sounds import tone, write_sound
from helpers.stores import FRONT_END, ramps, store

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden():
    with safe_open(GOLDEN / "m2d" / "dataset_ops.safetensors", "numpy") as file:
        facts = {name: json.loads(value) for name, value in file.metadata().items()}
        return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_crop_padding_and_normalisation_are_the_originals(golden):
    facts, arrays = golden
    stats, width = Statistics(facts["mean"], facts["std"]), facts["crop_frames"]
    for raw, expected in (("long", "long.from_start"), ("long", "clean"), ("short", "short.padded")):
        ours = stats.normalise(fit_length(arrays[raw], width))
        np.testing.assert_allclose(ours, arrays[f"{expected}.normalised"], atol=TOLERANCE)


def test_the_published_random_crop_replays(golden):
    facts, arrays = golden
    width, replay = facts["crop_frames"], TorchReplay(facts["torch_seed_for_random_crop"])
    start = crop_start(replay, arrays["long"].shape[-1], width, published=True)
    assert start == facts["random_crop_start"]
    ours = Statistics(facts["mean"], facts["std"]).normalise(arrays["long"][..., start : start + width])
    np.testing.assert_allclose(ours, arrays["long.random_crop.normalised"], atol=TOLERANCE)


def test_noise_is_doubled_centred_and_mixed_as_by_the_original(golden):
    facts, arrays = golden
    width = facts["crop_frames"]
    clean = fit_length(arrays["long"], width) - np.float32(facts["mean"])
    short = repeat_to_length(arrays["noise_short"], width)[..., :width] - np.float32(facts["noise_mean"])
    exact = arrays["noise_exact"] - np.float32(facts["noise_mean"])
    np.testing.assert_allclose(short, arrays["noise_short.repeated.centred"], atol=TOLERANCE)
    for ratio in facts["ratios"]:
        for noise, name in ((short, "mix"), (exact, "mix_exact")):
            ours = log_mix(clean, noise, ratio) / np.float32(facts["std"])
            np.testing.assert_allclose(ours, arrays[f"{name}.{ratio}"], atol=TOLERANCE)


def test_lists_are_inflated_as_by_the_original(golden):
    for case, expected in golden[0]["inflate"].items():
        count, wanted = map(int, case.split("->"))
        assert epoch_length(count, wanted) == expected


def test_the_dataset_gives_the_golden_mixture(golden, tmp_path):
    facts, arrays = golden
    clean = store(tmp_path / "clean", {"long": arrays["long"]})
    noise = store(tmp_path / "noise", {"exact": arrays["noise_exact"]})
    plain = Spectrograms(clean, facts["crop_frames"], front_end=FRONT_END, config=CropConfig(crop="start"))
    mixed = plain.with_noise(BackgroundNoise(noise, facts["noise_mean"], 0.3), facts["mean"])[0]
    stats = Statistics(facts["mean"], facts["std"])
    np.testing.assert_allclose(stats.normalise(mixed.crop.values), arrays["mix_exact.0.3"][0], atol=TOLERANCE)
    np.testing.assert_allclose(stats.normalise(mixed.crop.clean), arrays["clean.normalised"][0], atol=TOLERANCE)


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 50), width=st.integers(1, 20), seed=st.integers(0, 5))
def test_crops_stay_inside_and_have_the_width(length, width, seed):
    start = crop_start(RandomKey(seed).of("crop"), length, width)
    assert 0 <= start <= max(0, length - width)
    array = np.arange(1, length + 1, dtype=np.float32)
    for short in ("zeros", "repeat"):
        out = fit_length(array[start : start + width], width, short)
        assert out.shape == (width,)
        assert (out[: min(width, length)] == array[start : start + width]).all()
        assert short == "zeros" or (out > 0).all()


def test_every_start_is_drawn_but_the_last_one_in_the_published_form():
    def starts(published):
        return {crop_start(RandomKey(0, 0, i).of("crop"), 8, 5, published=published) for i in range(200)}

    assert starts(False) == {0, 1, 2, 3}
    assert starts(True) == {0, 1, 2}


def test_a_loud_crop_falls_on_the_sound_far_more_often(tmp_path):
    ramp = np.full((2, 100), -20.0, np.float32)
    ramp[:, 60:70] = 0.0
    sounding = {
        crop: sum(
            60 - 5 <= round(data[SampleIndex(0, i, 0)].crop.crop_start * 100) <= 60 + 5
            for data in [
                Spectrograms(store(tmp_path / crop, {"ramp": ramp}), 10, front_end=FRONT_END, config=CropConfig(crop))
            ]
            for i in range(200)
        )
        for crop in ("random", "loud")
    }
    assert sounding["random"] < 40  # 11 of 91 starts: a share of 12 %
    assert sounding["loud"] > 60  # 1 - 0.88^4 = 40 %


def test_a_loud_crop_of_a_recording_is_found_by_its_power(tmp_path):
    wave = np.zeros(16000, np.float32)
    wave[12000:14000] = 0.5
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    data = Waveforms(read_manifest(tmp_path), 16000, 0.1, config=CropConfig("loud"))
    assert sum(np.square(data[SampleIndex(0, i, 0)].crop.values).any() for i in range(60)) > 30  # at random: a fifth


def test_full_noise_is_the_noise_and_silence_has_a_floor():
    quiet = np.full((2, 3), -np.inf, np.float32)
    assert (log_mix(quiet, quiet + 0, 1.0) == quiet).all()
    np.testing.assert_allclose(log_mix(quiet, quiet, 0.5), np.log(np.finfo(np.float32).eps), rtol=1e-6)


def test_noise_partners_come_without_replacement_and_depend_on_the_position_alone(tmp_path):
    noise = BackgroundNoise(store(tmp_path, ramps(5)), 0.0, 0.2)
    decks = [[noise.partner(RandomKey(1, 0, i)) for i in range(deck, deck + 5)] for deck in (0, 5, 10)]
    assert all(sorted(deck) == [0, 1, 2, 3, 4] for deck in decks)
    assert len({tuple(deck) for deck in decks}) > 1
    assert [noise.partner(RandomKey(1, 0, i)) for i in (7, 3)] == [decks[1][2], decks[0][3]]


def test_each_repetition_of_a_clip_has_its_own_crop(tmp_path):
    data = Spectrograms(store(tmp_path, ramps(3)), 8, front_end=FRONT_END, config=CropConfig(min_ds_size=300))
    assert len(data) == 300
    starts = {data[SampleIndex(0, i, i)].crop.crop_start for i in range(0, 300, 3)}
    assert len(starts) > 20
    first, again = data[SampleIndex(2, 5, 1)], data[SampleIndex(2, 5, 1)]
    assert (first.crop.values == again.crop.values).all()


def test_crops_hold_their_start(tmp_path):
    data = Spectrograms(store(tmp_path, ramps(2), start=10.0), 8, front_end=FRONT_END)
    sample = data[SampleIndex(0, 3, 1)]
    frame = round((sample.crop.crop_start - 10.0) / 0.01)
    assert sample.crop.values[0, 0] == 1000 + frame
    assert sample.id == "c1"


@pytest.mark.parametrize(("short", "length"), [("zeros", 5), ("repeat", 8)])
def test_short_spectrograms_are_filled_up(tmp_path, short, length):
    data = Spectrograms(store(tmp_path, ramps(1, frames=5)), 8, front_end=FRONT_END, config=CropConfig(short=short))
    cut = data[0].crop
    assert cut.length == length
    assert cut.values[0].tolist() == [0, 1, 2, 3, 4, *((0, 0, 0) if short == "zeros" else (0, 1, 2))]


def test_half_precision_stores_are_read_as_float32(tmp_path):
    manifest = store(tmp_path, {"a": np.ones((4, 9), np.float16)})
    assert Spectrograms(manifest, 8, front_end=FRONT_END)[0].crop.values.dtype == np.float32


def test_a_file_that_is_no_spectrogram_is_refused_by_name(tmp_path):
    (tmp_path / "text.npy").write_text("hello")
    np.save(tmp_path / "flat.npy", np.zeros(5, np.float32))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("text.npy", "flat.npy", "pickled.npy", "absent.npy"):
        with pytest.raises(AudioError, match=name):
            open_array(tmp_path / name)


def test_a_store_without_settings_is_refused_until_the_front_end_is_named(tmp_path):
    with pytest.raises(AuricleError, match=r"prepare\.json does not say how"):
        Spectrograms(store(tmp_path, ramps(1)), 8)


def test_audio_crops_are_spans_of_the_recording(tmp_path):
    wave = tone(2.0)
    write_sound(tmp_path / "a.wav", wave)
    data = Waveforms(read_manifest(tmp_path), 16000, 0.5)
    cut = data[SampleIndex(0, 1, 0)].crop
    first = round(cut.crop_start * 16000)
    assert cut.values.shape == (8000,)
    assert 0 < first <= 24000
    np.testing.assert_allclose(cut.values, wave[first : first + 8000], atol=1e-4)


def test_audio_is_cut_within_the_clip_and_resampled(tmp_path):
    write_sound(tmp_path / "a.wav", tone(3.0, 44100), 44100)
    manifest = Manifest((Clip(id="x", path="a.wav", start=1.0, end=2.0),), tmp_path)
    for position in range(5):
        cut = Waveforms(manifest, 16000, 0.25)[SampleIndex(0, position, 0)].crop
        assert 1.0 <= cut.crop_start <= 1.75
        assert cut.values.shape == (4000,)
    whole = Waveforms(manifest, 16000, None)[0].crop
    assert abs(len(whole.values) - 16000) <= 1


def test_short_audio_is_padded_and_its_length_returned(tmp_path):
    write_sound(tmp_path / "a.wav", tone(0.25))
    cut = Waveforms(read_manifest(tmp_path), 16000, 0.5)[0].crop
    assert (cut.length, cut.values.shape, cut.values[4000:].any()) == (4000, (8000,), False)
    assert Waveforms(read_manifest(tmp_path), 16000, 0.5, config=CropConfig(short="repeat"))[0].crop.length == 8000


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=9), min_size=2, max_size=6))
def test_moments_of_parts_are_those_of_the_whole(parts):
    whole = np.concatenate([np.array(part) for part in parts])
    total = sum((Moments.of(np.array(part, np.float32)) for part in parts), Moments())
    stats = total.statistics()
    assert stats.mean == pytest.approx(whole.mean(), abs=1e-6)
    assert stats.std == pytest.approx(whole.std(ddof=1) + np.finfo(np.float32).eps, abs=1e-6)


def test_statistics_of_a_store_are_those_of_all_values():
    arrays = [np.random.default_rng(i).normal(-7, 4, (1, 80, 30 + i)).astype(np.float32) for i in range(4)]
    stats = sum(map(Moments.of, arrays), Moments()).statistics()
    everything = torch.cat([torch.from_numpy(a).double().flatten() for a in arrays])
    assert stats.mean == pytest.approx(float(everything.mean()), abs=1e-9)
    assert stats.std == pytest.approx(float(everything.std()) + 1.1920929e-07, abs=1e-9)


def test_sampled_statistics_are_keyed_and_count_padding_as_training_does(tmp_path):
    manifest = store(tmp_path, {"a": np.full((4, 6), -8.0, np.float32)})
    data = Spectrograms(manifest, 8, front_end=FRONT_END)
    assert sampled_statistics(data, 10).mean == pytest.approx(-6.0), "two of eight frames are padding"
    ramp = Spectrograms(store(tmp_path / "r", ramps(9)), 8, front_end=FRONT_END)
    assert sampled_statistics(ramp, 20, seed=1) == sampled_statistics(ramp, 20, seed=1)
    assert sampled_statistics(ramp, 20, seed=1) != sampled_statistics(ramp, 20, seed=2)


def test_sampled_statistics_of_audio_use_the_front_end(tmp_path):
    wave = tone(0.5)
    write_sound(tmp_path / "a.wav", wave)
    write_sound(tmp_path / "bad.wav").write_bytes(b"no sound")
    data = Waveforms(read_manifest(tmp_path), 16000, None)
    values = front_end(FRONT_END)(torch.from_numpy(data[0].crop.values)[None])
    assert sampled_statistics(data, 8, front_end=FRONT_END).mean == pytest.approx(float(values.mean()), abs=1e-4)
    with pytest.raises(AuricleError, match="need a front end"):
        sampled_statistics(data, 8)
