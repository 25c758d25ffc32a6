"""Noise-like sounds: rain, wind, applause."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    apply_gain,
    band_noise,
    bandpass_gain,
    burst,
    fft_frequencies,
    log_uniform,
    normalise_rms,
    onset_times,
    random_curve,
    slope_gain,
    uniform,
)


def rain(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise rain, light to heavy: clicks of random level over broadband noise."""
    n = int(seconds * rate)
    hertz = fft_frequencies(n, rate)
    drops = _grains(rng, n, rate, log_uniform(rng, 60, 3000))
    body = bandpass_gain(hertz, log_uniform(rng, 500, 2000), log_uniform(rng, 4000, 9000), 1)
    hiss = apply_gain(rng.standard_normal(n), slope_gain(hertz, uniform(rng, -5, 3)))
    wave = normalise_rms(apply_gain(drops, body)) + uniform(rng, 0.1, 0.7) * normalise_rms(hiss)
    return wave * (1 - uniform(rng, 0, 0.4) * random_curve(rng, n, rate, 0.7))


def wind(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise wind: bands of noise with slow gusts; stronger wind has higher bands, sometimes a whistle."""
    n = int(seconds * rate)
    gust = random_curve(rng, n, rate, log_uniform(rng, 0.5, 3.0))
    base, wave = log_uniform(rng, 80, 500), np.zeros(n)
    for octave in range(5):
        strength = gust ** (1 + octave * uniform(rng, 0.4, 1.0))
        wave += strength * band_noise(rng, n, rate, base * 2**octave * 0.7, base * 2**octave * 1.4) / (1 + octave)
    if rng.random() < 0.4:
        whistle = log_uniform(rng, 500, 2000)
        wave += uniform(rng, 0.1, 0.6) * gust**2 * band_noise(rng, n, rate, whistle * 0.93, whistle * 1.07)
    return wave


def applause(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise applause of up to fifty people who differ in spectrum, tempo and level."""
    n, wave = int(seconds * rate), np.zeros(int(seconds * rate))
    for _ in range(int(log_uniform(rng, 3, 50))):
        low = log_uniform(rng, 450, 1100)
        clap = burst(rng, rate, log_uniform(rng, 0.003, 0.015), low, low * uniform(rng, 1.8, 5))
        times = onset_times(rng, seconds, uniform(rng, 0.18, 0.4), 0.15)
        forces = log_uniform(rng, 0.15, 1.0) * (0.6 + 0.4 * rng.random(len(times)))
        wave += add_events(n, rate, times, (force * clap for force in forces))
    swell = uniform(rng, 0, 0.8)
    return wave * (1 - swell * random_curve(rng, n, rate, 0.5))


def _grains(rng: Generator, n: int, rate: int, per_second: float) -> np.ndarray:
    """Draw impulses with random signs, heavy-tailed levels and random positions, (n,)."""
    count = max(1, int(per_second * n / rate))
    wave = np.zeros(n)
    np.add.at(wave, rng.integers(0, n, count), rng.standard_normal(count) * np.exp(rng.standard_normal(count)))
    return wave
