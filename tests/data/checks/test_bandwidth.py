"""A sharp edge far below half the sample rate is found; sound with little treble has none."""

import numpy as np
import pytest

from auricle.data.checks.bandwidth import Bandwidth
from helpers.faulty_sounds import RATE, clean_sound, upsampled


def edge(wave: np.ndarray, rate: int, block: int = 5000) -> float | None:
    meter = Bandwidth(rate)
    for start in range(0, len(wave), block):
        meter.push(wave[start : start + block].astype(np.float32))
    return meter.finish()


def test_upsampled_sound_ends_at_half_its_first_rate():
    assert edge(upsampled(clean_sound(0)), 2 * RATE) == pytest.approx(8000, abs=150)
    assert edge(upsampled(upsampled(clean_sound(0))), 4 * RATE) == pytest.approx(8000, abs=300)


def test_rounding_to_16_bits_does_not_hide_the_edge():
    wave = np.round(upsampled(clean_sound(1)) * 32767) / 32768
    assert edge(wave, 2 * RATE) == pytest.approx(8000, abs=150)


def test_sound_of_all_frequencies_has_no_edge():
    assert edge(clean_sound(2), RATE) is None
    assert edge(np.random.default_rng(0).normal(0, 0.1, RATE), RATE) is None


def test_a_slow_fall_is_no_edge():
    noise = np.fft.rfft(np.random.default_rng(1).normal(0, 1, 44100))
    hertz = np.fft.rfftfreq(44100, 1 / 44100).clip(20)
    brown = np.fft.irfft(noise / hertz**2)  # 12 dB per octave
    assert edge(brown / np.abs(brown).max(), 44100) is None


def test_a_pure_tone_and_silence_have_no_edge():
    assert edge(0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE), RATE) is None
    assert edge(np.zeros(RATE), RATE) is None


def test_the_usual_low_pass_of_codecs_is_no_fault():
    spectrum = np.fft.rfft(np.random.default_rng(2).normal(0, 0.1, 44100))
    spectrum[16000:] = 0
    assert edge(np.fft.irfft(spectrum), 44100) is None


@pytest.mark.parametrize("block", [100, 1024, 100_000])
def test_the_edge_does_not_depend_on_the_blocks(block):
    wave = upsampled(clean_sound(3))
    assert edge(wave, 2 * RATE, block) == edge(wave, 2 * RATE, len(wave))


@pytest.mark.parametrize("samples", [1, 10, 700])
def test_very_short_sound_is_measured_too(samples):
    edge(clean_sound(4)[:samples], RATE)
    assert edge(clean_sound(4)[:samples], 1000) is None
