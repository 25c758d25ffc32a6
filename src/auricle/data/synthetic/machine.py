"""Things that turn or go to and fro: engine, helicopter, sawing."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    band_noise,
    frequencies,
    glide,
    log_uniform,
    peaks,
    seconds_axis,
    shaped,
    tone,
    uniform,
)


def engine(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) firing pulses of 18 to 110 a second, the revolutions drifting or revving, heard through a resonant body."""
    n = int(seconds * rate)
    revving = uniform(source, 0.03, 0.9)
    pitch = log_uniform(source, 18, 80) * (1 + revving * glide(source, n, rate, log_uniform(source, 0.3, 1.5)))
    order = np.arange(1, 120)
    strengths = order ** -uniform(source, 0.3, 1.2) * (0.2 + source.random(len(order)))
    wave = tone(pitch, rate, strengths * np.where(source.random(len(order)) < 0.5, 1, -1))
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
    wave += uniform(source, 0.1, 1.5) * pulses * band_noise(source, n, rate, 80, log_uniform(source, 800, 3000))
    body = [log_uniform(source, 90, 250), log_uniform(source, 400, 1000), log_uniform(source, 1200, 3000)]
    return shaped(wave, 0.1 + peaks(frequencies(n, rate), body, uniform(source, 0.4, 1.2)))


def helicopter(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) rotor blades: low thumps 7 to 22 times a second over a turbine's whine and roar, coming and going."""
    n = int(seconds * rate)
    blades = uniform(source, 7, 22) * (1 + 0.06 * glide(source, n, rate, 0.5))
    turn = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(blades) / rate)
    sharp = uniform(source, 2, 10)
    wave = turn**sharp * band_noise(source, n, rate, log_uniform(source, 40, 120), log_uniform(source, 300, 1200))
    wave += uniform(source, 0.05, 0.4) * band_noise(source, n, rate, 100, log_uniform(source, 1500, 5000))
    whine = log_uniform(source, 300, 2500) * (1 + 0.02 * glide(source, n, rate, 1))
    wave += uniform(source, 0.0, 0.2) * tone(whine, rate, np.array([1.0, 0.4, 0.2]))
    return wave * (0.3 + 0.7 * glide(source, n, rate, 0.4))


def sawing(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) strokes of a hand saw, two to five a second: rasping noise, the pull of another colour than the push."""
    n = int(seconds * rate)
    speed = log_uniform(source, 0.8, 2.6) * (1 + 0.15 * glide(source, n, rate, 1))
    stroke = np.sin(2 * np.pi * (np.cumsum(speed) / rate + source.random()))
    teeth = log_uniform(source, 40, 160) * (0.3 + np.abs(stroke))
    rasp = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(teeth) / rate)
    low = log_uniform(source, 900, 2000)
    push = np.clip(stroke, 0, None) ** 1.5 * band_noise(source, n, rate, low, low * uniform(source, 2, 6))
    pull_low = low * uniform(source, 0.7, 1.6)
    pull = np.clip(-stroke, 0, None) ** 1.5 * band_noise(source, n, rate, pull_low, pull_low * uniform(source, 2, 5))
    pause = glide(source, n, rate, 0.4) > uniform(source, 0, 0.25)
    return (push + uniform(source, 0.3, 1.0) * pull) * (1 - uniform(source, 0, 0.7) * rasp) * _soft(pause, rate)


def _soft(gate: np.ndarray, rate: int) -> np.ndarray:
    """A gate with edges of 10 ms, so that it does not click."""
    width = max(1, rate // 100)
    total = np.cumsum(np.concatenate([np.zeros(width), gate.astype(float)]))
    return (total[width:] - total[:-width]) / width


def hum(source: Generator, rate: int, n: int) -> np.ndarray:
    """(n,) mains hum of 50 or 60 Hz, for backgrounds."""
    mains = 50.0 if source.random() < 0.5 else 60.0
    drift = 1 + 0.001 * np.sin(2 * np.pi * 0.3 * seconds_axis(n, rate))
    return tone(mains * drift, rate, source.random(8) / np.arange(1, 9))
