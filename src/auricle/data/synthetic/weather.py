"""Crowds of small random events that melt into noise: rain, wind, applause."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    band,
    band_noise,
    burst,
    frequencies,
    glide,
    log_uniform,
    placed,
    rhythm,
    shaped,
    tilt,
    uniform,
    unit,
)


def rain(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) drops as a shower of clicks of uneven force, from a drizzle to a downpour, over a bed of hiss."""
    n = int(seconds * rate)
    hertz = frequencies(n, rate)
    drops = _grains(source, n, rate, log_uniform(source, 60, 3000))
    body = band(hertz, log_uniform(source, 500, 2000), log_uniform(source, 4000, 9000), 1)
    hiss = shaped(source.standard_normal(n), tilt(hertz, uniform(source, -5, 3)))
    wave = unit(shaped(drops, body)) + uniform(source, 0.1, 0.7) * unit(hiss)
    return wave * (1 - uniform(source, 0, 0.4) * glide(source, n, rate, 0.7))


def wind(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) gusts: bands of noise that swell, the upper ones only when the wind is strong; some whistle."""
    n = int(seconds * rate)
    gust = glide(source, n, rate, log_uniform(source, 0.5, 3.0))
    base, wave = log_uniform(source, 80, 500), np.zeros(n)
    for octave in range(5):
        strength = gust ** (1 + octave * uniform(source, 0.4, 1.0))
        wave += strength * band_noise(source, n, rate, base * 2**octave * 0.7, base * 2**octave * 1.4) / (1 + octave)
    if source.random() < 0.4:
        whistle = log_uniform(source, 500, 2000)
        wave += uniform(source, 0.1, 0.6) * gust**2 * band_noise(source, n, rate, whistle * 0.93, whistle * 1.07)
    return wave


def applause(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) two to fifty people clapping, each with hands, tempo and distance of their own."""
    n, wave = int(seconds * rate), np.zeros(int(seconds * rate))
    for _ in range(int(log_uniform(source, 3, 50))):
        low = log_uniform(source, 450, 1100)
        clap = burst(source, rate, log_uniform(source, 0.003, 0.015), low, low * uniform(source, 1.8, 5))
        times = rhythm(source, seconds, uniform(source, 0.18, 0.4), 0.15)
        forces = log_uniform(source, 0.15, 1.0) * (0.6 + 0.4 * source.random(len(times)))
        wave += placed(n, rate, times, (force * clap for force in forces))
    swell = uniform(source, 0, 0.8)
    return wave * (1 - swell * glide(source, n, rate, 0.5))


def _grains(source: Generator, n: int, rate: int, per_second: float) -> np.ndarray:
    """(n,) single samples of random sign and heavy-tailed force, at random places."""
    count = max(1, int(per_second * n / rate))
    wave = np.zeros(n)
    np.add.at(wave, source.integers(0, n, count), source.standard_normal(count) * np.exp(source.standard_normal(count)))
    return wave
