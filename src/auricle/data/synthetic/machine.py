"""Machine sounds: engine, helicopter, sawing; and mains hum."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    apply_gain,
    band_noise,
    fft_frequencies,
    log_uniform,
    random_curve,
    resonances,
    seconds_axis,
    tone,
    uniform,
)


def engine(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise an engine: pulses at 18 to 110 hertz with drifting or revving speed, filtered by resonances."""
    n = int(seconds * rate)
    revving = uniform(rng, 0.03, 0.9)
    pitch = log_uniform(rng, 18, 80) * (1 + revving * random_curve(rng, n, rate, log_uniform(rng, 0.3, 1.5)))
    order = np.arange(1, 120)
    strengths = order ** -uniform(rng, 0.3, 1.2) * (0.2 + rng.random(len(order)))
    wave = tone(pitch, rate, strengths * np.where(rng.random(len(order)) < 0.5, 1, -1))
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
    wave += uniform(rng, 0.1, 1.5) * pulses * band_noise(rng, n, rate, 80, log_uniform(rng, 800, 3000))
    body = [log_uniform(rng, 90, 250), log_uniform(rng, 400, 1000), log_uniform(rng, 1200, 3000)]
    return apply_gain(wave, 0.1 + resonances(fft_frequencies(n, rate), body, uniform(rng, 0.4, 1.2)))


def helicopter(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a helicopter: low rotor pulses at 7 to 22 hertz over the tone and noise of a turbine."""
    n = int(seconds * rate)
    blades = uniform(rng, 7, 22) * (1 + 0.06 * random_curve(rng, n, rate, 0.5))
    turn = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(blades) / rate)
    sharp = uniform(rng, 2, 10)
    wave = turn**sharp * band_noise(rng, n, rate, log_uniform(rng, 40, 120), log_uniform(rng, 300, 1200))
    wave += uniform(rng, 0.05, 0.4) * band_noise(rng, n, rate, 100, log_uniform(rng, 1500, 5000))
    whine = log_uniform(rng, 300, 2500) * (1 + 0.02 * random_curve(rng, n, rate, 1))
    wave += uniform(rng, 0.0, 0.2) * tone(whine, rate, np.array([1.0, 0.4, 0.2]))
    return wave * (0.3 + 0.7 * random_curve(rng, n, rate, 0.4))


def sawing(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a hand saw: two to five strokes of noise per second; push and pull differ in spectrum."""
    n = int(seconds * rate)
    speed = log_uniform(rng, 0.8, 2.6) * (1 + 0.15 * random_curve(rng, n, rate, 1))
    stroke = np.sin(2 * np.pi * (np.cumsum(speed) / rate + rng.random()))
    teeth = log_uniform(rng, 40, 160) * (0.3 + np.abs(stroke))
    rasp = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(teeth) / rate)
    low = log_uniform(rng, 900, 2000)
    push = np.clip(stroke, 0, None) ** 1.5 * band_noise(rng, n, rate, low, low * uniform(rng, 2, 6))
    pull_low = low * uniform(rng, 0.7, 1.6)
    pull = np.clip(-stroke, 0, None) ** 1.5 * band_noise(rng, n, rate, pull_low, pull_low * uniform(rng, 2, 5))
    pause = random_curve(rng, n, rate, 0.4) > uniform(rng, 0, 0.25)
    return (push + uniform(rng, 0.3, 1.0) * pull) * (1 - uniform(rng, 0, 0.7) * rasp) * _soft(pause, rate)


def _soft(gate: np.ndarray, rate: int) -> np.ndarray:
    """Smooth the edges of a gate over 10 ms, so that it does not click."""
    width = max(1, rate // 100)
    total = np.cumsum(np.concatenate([np.zeros(width), gate.astype(float)]))
    return (total[width:] - total[:-width]) / width


def hum(rng: Generator, rate: int, n: int) -> np.ndarray:
    """Synthesise mains hum (n,) of 50 or 60 Hz, for backgrounds."""
    mains = 50.0 if rng.random() < 0.5 else 60.0
    drift = 1 + 0.001 * np.sin(2 * np.pi * 0.3 * seconds_axis(n, rate))
    return tone(mains * drift, rate, rng.random(8) / np.arange(1, 9))
