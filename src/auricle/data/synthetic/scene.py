"""Turn a procedural sound into a recording: add onset, reverberation, background, microphone and level."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic import SOUNDS
from auricle.data.synthetic.noises import hum
from auricle.data.synthetic.shapes import (
    add_events,
    apply_gain,
    bandpass_gain,
    convolve,
    fft_frequencies,
    log_uniform,
    normalise_rms,
    random_curve,
    seconds_axis,
    slope_gain,
    uniform,
)

SNR_DECIBELS = (10.0, 35.0)  # root mean square of the sound over that of its background, over the whole clip
LEVEL_DECIBELS = (-34.0, -16.0)  # root mean square of the clip re full scale
PEAK = 0.97


def make_recording(rng: Generator, name: str, rate: int, seconds: float) -> np.ndarray:
    """Draw a clip of class ``name``: (S,) float32 in [-1, 1], S = round(seconds * rate)."""
    n = round(seconds * rate)
    sound = normalise_rms(add_reverberation(rng, _draw_sound(rng, name, rate, n), rate))
    noise = normalise_rms(background(rng, n, rate))
    mixture = sound + noise * _gain(-uniform(rng, *SNR_DECIBELS))
    return _set_level(rng, normalise_rms(apply_microphone(rng, mixture, rate)))


def add_reverberation(rng: Generator, wave: np.ndarray, rate: int) -> np.ndarray:
    """Add exponentially decaying reverberation: RT60 of 0.1 to 0.9 s, 30 to 3 dB below the direct sound."""
    decay = log_uniform(rng, 0.1, 0.9)
    n = int(0.8 * decay * rate)
    tail = rng.standard_normal(n) * 10 ** (-3 * seconds_axis(n, rate) / decay)
    tail = apply_gain(tail, bandpass_gain(fft_frequencies(n, rate), 100, log_uniform(rng, 1500, 7000), 1))
    tail *= _gain(uniform(rng, -30, -3)) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    return wave + convolve(wave, tail)


def background(rng: Generator, n: int, rate: int) -> np.ndarray:
    """Draw background noise (n,) with random slope, band and level over time, sometimes with mains hum."""
    hertz = fft_frequencies(n, rate)
    corners = log_uniform(rng, 20, 200), log_uniform(rng, 1500, 20000)
    gain = slope_gain(hertz, uniform(rng, -9, 0)) * bandpass_gain(hertz, *corners, order=1)
    wave = normalise_rms(apply_gain(rng.standard_normal(n), gain)) * (
        1 - uniform(rng, 0, 0.8) * random_curve(rng, n, rate, 1)
    )
    return wave + uniform(rng, 0, 0.5) * normalise_rms(hum(rng, rate, n)) if rng.random() < 0.2 else wave


def apply_microphone(rng: Generator, wave: np.ndarray, rate: int) -> np.ndarray:
    """Filter a waveform by a microphone with a random slope (up to ±1.5 dB per octave) and band."""
    hertz = fft_frequencies(len(wave), rate)
    corners = log_uniform(rng, 20, 120), log_uniform(rng, 5000, 20000)
    return apply_gain(wave, slope_gain(hertz, uniform(rng, -1.5, 1.5)) * bandpass_gain(hertz, *corners))


def _draw_sound(rng: Generator, name: str, rate: int, n: int) -> np.ndarray:
    """Draw the sound of a class over 70 % to 100 % of the clip (n,), at a random onset, with fades.

    Its length is a multiple of 0.1 s, because FFTs of such lengths are fast.
    """
    seconds = round(max(0.3, n / rate * uniform(rng, 0.7, 1.0)), 1)
    sound = SOUNDS[name](rng, rate, seconds)[:n]
    t = seconds_axis(len(sound), rate)
    sound = sound * np.minimum(1.0, t / 0.005) * np.minimum(1.0, t[::-1] / log_uniform(rng, 0.02, 0.5))
    return add_events(n, rate, [uniform(rng, 0, (n - len(sound)) / rate)], [sound])


def _set_level(rng: Generator, wave: np.ndarray) -> np.ndarray:
    """Scale a waveform of root mean square 1 to a random level, limited so that its peak stays below ``PEAK``."""
    wave = wave * _gain(uniform(rng, *LEVEL_DECIBELS))
    return (wave * min(1.0, PEAK / float(np.abs(wave).max()))).astype(np.float32)


def _gain(decibels: float) -> float:
    return 10 ** (decibels / 20)
