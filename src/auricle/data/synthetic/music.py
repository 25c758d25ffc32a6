"""Instrument sounds: bell, plucked string, drum."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    burst,
    damped_sines,
    decay_envelope,
    log_uniform,
    onset_times,
    seconds_axis,
    tone,
    uniform,
)

# Relative to the prime, as in a tuned church bell: hum, prime, minor third, fifth, octave (nominal) and above.
BELL_PARTIALS = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.3])


def bell(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise one to five strokes of a bell: inharmonic partials; higher partials decay faster."""
    n, prime = int(seconds * rate), log_uniform(rng, 400, 900)
    partials = prime * BELL_PARTIALS * (1 + 0.02 * rng.standard_normal(len(BELL_PARTIALS)))
    levels = rng.random(len(partials)) / np.sqrt(BELL_PARTIALS)
    decays = np.minimum(log_uniform(rng, 0.3, 1.5) / BELL_PARTIALS**0.7, seconds / 3)
    stroke = damped_sines(rng, rate, partials, levels, decays)
    times = onset_times(rng, seconds, uniform(rng, 0.5, 1.6), 0.05)[:5]
    return add_events(n, rate, times, (stroke * uniform(rng, 0.5, 1) for _ in times))


def plucked_string(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise some notes of a string instrument."""
    n, root = int(seconds * rate), log_uniform(rng, 110, 280)
    steps = np.array([0, 2, 4, 7, 9, 12])
    times = onset_times(rng, seconds, log_uniform(rng, 0.15, 0.9), 0.1)
    damping, bright = uniform(rng, 0.985, 0.998), uniform(rng, 0.15, 0.9)
    pitches = root * 2 ** (steps[rng.integers(0, len(steps), len(times))] / 12)
    ring = log_uniform(rng, 0.2, 1.5)
    return add_events(n, rate, times, (_pluck(rng, rate, hertz, ring, damping, bright) for hertz in pitches))


def drum(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a repeated bar of kick, snare and cymbal on a grid of eighth notes."""
    n, eighth = int(seconds * rate), 60 / uniform(rng, 70, 170) / 2
    beats = np.arange(0, seconds, eighth) + uniform(rng, 0, 0.5 * min(eighth, seconds))
    kit = (_kick(rng, rate), _snare(rng, rate), _cymbal(rng, rate))
    pattern = rng.random((3, 8)) < rng.random((3, 1)) * np.array([[0.7], [0.6], [0.9]])
    pattern[rng.integers(0, 3), 0] = True
    wave = np.zeros(n)
    for sound, row in zip(kit, pattern):
        hits = [time for i, time in enumerate(beats) if row[i % 8] and time < seconds]
        wave += add_events(n, rate, hits, (sound * uniform(rng, 0.6, 1) for _ in hits))
    return wave


def _pluck(rng: Generator, rate: int, hertz: float, ring: float, damping: float, bright: float) -> np.ndarray:
    """Synthesise a plucked string (Karplus and Strong 1983): a period of noise in a loop with a low-pass filter.

    After k rounds, the spectrum of the period is the first one times the k-th power of the gain of the loop.
    """
    period, rounds = max(8, round(rate / hertz)), max(2, int(ring * hertz))
    first = np.fft.rfft(rng.standard_normal(period))
    first[0] = 0
    angle = np.linspace(0, np.pi, len(first))
    first *= 1 / (1 + (1 - bright) * 6 * angle)
    loop = damping * np.sqrt(np.cos(0.5 * angle * (1.1 - bright)))
    cycles = np.fft.irfft(first * loop ** np.arange(rounds)[:, None], period, axis=1)
    wave = cycles.ravel()
    return wave * decay_envelope(len(wave), rate, 0.001, ring / 3)


def _kick(rng: Generator, rate: int) -> np.ndarray:
    n = int(log_uniform(rng, 0.1, 0.4) * rate)
    fall = np.exp(-seconds_axis(n, rate) / uniform(rng, 0.02, 0.06))
    pitch = log_uniform(rng, 40, 110) * (1 + uniform(rng, 1, 4) * fall)
    return 1.5 * tone(pitch, rate, np.array([1.0, 0.2])) * decay_envelope(n, rate, 0.002, n / rate / 4)


def _snare(rng: Generator, rate: int) -> np.ndarray:
    rattle = burst(rng, rate, log_uniform(rng, 0.02, 0.1), log_uniform(rng, 400, 1500), 7000)
    skin = damped_sines(rng, rate, log_uniform(rng, 140, 350) * np.array([1, 1.6]), np.ones(2), np.full(2, 0.05))
    return add_events(max(len(rattle), len(skin)), rate, (0, 0), (0.7 * rattle, skin))


def _cymbal(rng: Generator, rate: int) -> np.ndarray:
    return uniform(rng, 0.2, 0.7) * burst(rng, rate, log_uniform(rng, 0.01, 0.15), 3500, 9000)
