"""Clipping, digital silence, offset, steps and channels, from blocks of any size."""

import numpy as np
import pytest

from auricle.data.checks.levels import LevelFacts, LevelMeter
from helpers.faulty_sounds import RATE, clean_sound


def facts(wave: np.ndarray, rate: int = RATE, block: int = 1000) -> LevelFacts:
    wave = np.atleast_2d(wave.T).T.astype(np.float32)
    meter = LevelMeter(rate, wave.shape[1])
    for start in range(0, len(wave), block):
        meter.add(wave[start : start + block])
    return meter.facts()


def as_16_bits(wave: np.ndarray) -> np.ndarray:
    return np.round(wave * 32767) / 32768


SOUNDS = {
    "speech-like": clean_sound(1),
    "low tone": 0.8 * np.sin(2 * np.pi * 50.3 * np.arange(RATE) / RATE),
    "tone at a quarter of the rate": 0.8 * np.sin(2 * np.pi * np.arange(RATE) / 4 + 0.3),
    "square wave": 0.5 * np.sign(np.sin(2 * np.pi * 100.3 * np.arange(RATE) / RATE) + 1e-9),
    "noise": np.random.default_rng(0).normal(0, 0.2, RATE).clip(-1, 1),
    "loudest sound without clipping": clean_sound(2) / 0.6,
}


@pytest.mark.parametrize("name", SOUNDS)
def test_whole_peaks_are_not_called_clipped(name):
    assert facts(as_16_bits(SOUNDS[name])).clipped == 0


@pytest.mark.parametrize("limit", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("name", ["speech-like", "low tone", "noise"])
def test_peaks_cut_off_at_any_level_are_clipped(name, limit):
    wave = SOUNDS[name] / np.abs(SOUNDS[name]).max()
    cut = limit * (2 * wave).clip(-1, 1)
    share = (np.abs(wave) >= 0.5).mean()
    assert facts(as_16_bits(cut)).clipped == pytest.approx(share, rel=0.1)


def test_rails_of_both_signs_may_differ():
    cut = (3 * SOUNDS["noise"]).clip(-0.4, 0.7)
    assert facts(cut).clipped == pytest.approx(((cut == 0.7) | (cut == -0.4)).mean(), rel=0.01)


def test_pauses_of_zeros_count_and_single_zeros_do_not():
    wave = clean_sound(3)
    wave[::7] = 0
    assert facts(wave).zero_share == 0
    padded = np.concatenate([np.zeros(5000), clean_sound(3), np.zeros(3000)])
    expected = 8000 / len(padded)
    assert facts(padded).zero_share == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("block", [97, 160, 1000, 100_000])
def test_facts_do_not_depend_on_the_blocks(block):
    wave = np.concatenate([np.zeros(3210), (3 * clean_sound(4)).clip(-0.5, 0.5), np.zeros(777)])
    whole, blocks = facts(wave, block=len(wave)), facts(wave, block=block)
    assert (blocks.clipped, blocks.zero_share, blocks.peak) == (whole.clipped, whole.zero_share, whole.peak)
    assert blocks.rms == pytest.approx(whole.rms)


def test_offset_is_that_of_the_worst_channel():
    wave = np.stack([clean_sound(5), clean_sound(5) - 0.2], 1)
    assert facts(wave).offset == pytest.approx(-0.2, abs=0.01)


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (clean_sound(6), "identical"),
        (np.zeros(len(clean_sound(6))), "dead"),
        (np.full(len(clean_sound(6)), 0.1), "dead"),
        (-0.9 * clean_sound(6), "inverted"),
        (0.5 * clean_sound(6), ""),
        (clean_sound(7), ""),
    ],
)
def test_channels(second, fault):
    assert facts(np.stack([clean_sound(6), second], 1)).channels == fault


def test_silence_in_all_channels_is_no_fault_of_one():
    assert facts(np.zeros((RATE, 2))).channels == ""


def test_steps_of_8_bits_are_seen():
    assert facts(np.round(clean_sound(8) * 127) / 128).step == pytest.approx(1 / 128)
    assert facts(as_16_bits(clean_sound(8))).step == pytest.approx(2.0**-15)
