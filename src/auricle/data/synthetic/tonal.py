"""Tonal sounds: siren, beeps, bird chirp, insect."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    band_noise,
    log_uniform,
    onset_times,
    random_curve,
    seconds_axis,
    tapered_envelope,
    tone,
    uniform,
)


def siren(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a siren: a continuous tone whose pitch moves slowly, moves fast, or alternates."""
    n = int(seconds * rate)
    t = seconds_axis(n, rate) + uniform(rng, 0, 5)
    low, kind = log_uniform(rng, 450, 850), rng.random()
    span = uniform(rng, 1.35, 2.2)
    if kind < 0.4:
        path = 0.5 - 0.5 * np.cos(2 * np.pi * t * log_uniform(rng, 0.2, 0.7))
    elif kind < 0.7:
        path = t * log_uniform(rng, 1.2, 4.0) % 1.0
    else:
        path = (t * log_uniform(rng, 0.6, 1.6) % 1.0 > 0.5).astype(float)
    return tone(low * span**path, rate, _timbre(rng, 8))


def beeps(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise an alarm: short tones at regular intervals, with one pitch or two alternating ones."""
    n, gap = int(seconds * rate), log_uniform(rng, 0.12, 0.7)
    size = max(64, int(gap * uniform(rng, 0.25, 0.7) * rate))
    second = 1.0 if rng.random() < 0.6 else uniform(rng, 0.7, 1.5)
    pitches = log_uniform(rng, 1000, 2200) * np.array([1.0, second])
    colour, edge = _timbre(rng, 6), tapered_envelope(size, rate, 0.004)
    notes = [edge * tone(np.full(size, pitch), rate, colour) for pitch in pitches]
    return add_events(n, rate, onset_times(rng, seconds, gap, 0.0), cycle(notes))


def bird_chirp(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise bird song: phrases of short whistled syllables with changing pitch, some with a trill."""
    n = int(seconds * rate)
    height = log_uniform(rng, 2400, 4200)
    repertoire = [_syllable(rng, rate, height) for _ in range(int(rng.integers(1, 4)))]
    wave = np.zeros(n)
    for start in onset_times(rng, seconds, uniform(rng, 0.4, 1.1), 0.5):
        count, gap = int(rng.integers(1, 7)), uniform(rng, 0.08, 0.22)
        order = rng.integers(0, len(repertoire), count)
        times = [start + i * gap for i in range(count) if start + i * gap < seconds]
        force = uniform(rng, 0.4, 1.0)
        wave += add_events(n, rate, times, (force * repertoire[i] for i in order))
    return wave


def insect(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a cricket or cicada: a narrow band with 15 to 90 pulses per second, continuous or in chirps."""
    n = int(seconds * rate)
    carrier, t = log_uniform(rng, 3600, 6500), seconds_axis(n, rate)
    noisy = rng.random()
    width = uniform(rng, 0.03, 0.25)
    sound = (1 - noisy) * tone(carrier * (1 + 0.01 * random_curve(rng, n, rate, 20)), rate, np.array([1.0, 0.15]))
    sound = sound + noisy * band_noise(rng, n, rate, carrier * (1 - width), carrier * (1 + width))
    pulses = 0.5 - 0.5 * np.cos(2 * np.pi * t * log_uniform(rng, 15, 90))
    chirps = np.ones(n)
    if rng.random() < 0.6:
        chirps = (t * uniform(rng, 1.0, 4.0) % 1.0 < uniform(rng, 0.3, 0.7)).astype(float)
    return sound * pulses ** uniform(rng, 0.5, 3) * chirps * (0.5 + 0.5 * random_curve(rng, n, rate, 0.7))


def _timbre(rng: Generator, count: int) -> np.ndarray:
    """Draw the levels of harmonics, (count,)."""
    return rng.random(count) ** uniform(rng, 0.3, 2) * np.arange(1, count + 1) ** -uniform(rng, 0.5, 3.0)


def _syllable(rng: Generator, rate: int, height: float) -> np.ndarray:
    """Synthesise a whistled syllable of 30 to 180 ms around ``height`` hertz."""
    n = int(log_uniform(rng, 0.03, 0.18) * rate)
    at = np.linspace(0, 1, n)
    bend, arch = uniform(rng, -0.6, 0.6), uniform(rng, -0.4, 0.4)
    pitch = height * uniform(rng, 0.8, 1.3) * 2 ** (bend * (at - 0.5) + arch * np.sin(np.pi * at))
    if rng.random() < 0.35:
        pitch = pitch * (1 + uniform(rng, 0.03, 0.1) * np.sin(2 * np.pi * uniform(rng, 25, 60) * at * n / rate))
    return np.sin(np.pi * at) ** uniform(rng, 0.5, 2) * tone(pitch, rate, np.array([1.0, uniform(rng, 0, 0.3)]))
