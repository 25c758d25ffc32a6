"""Instruments: bell, plucked string, drum."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import burst, damped, log_uniform, placed, pulse, rhythm, seconds_axis, tone, uniform

# Relative to the prime, as in a tuned church bell: hum, prime, minor third, fifth, octave (nominal) and above.
BELL_PARTIALS = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.3])


def bell(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) one to five strokes of one bell: inharmonic partials that ring for up to seconds, the high ones shorter."""
    n, prime = int(seconds * rate), log_uniform(source, 400, 900)
    partials = prime * BELL_PARTIALS * (1 + 0.02 * source.standard_normal(len(BELL_PARTIALS)))
    levels = source.random(len(partials)) / np.sqrt(BELL_PARTIALS)
    decays = np.minimum(log_uniform(source, 0.3, 1.5) / BELL_PARTIALS**0.7, seconds / 3)
    stroke = damped(source, rate, partials, levels, decays)
    times = rhythm(source, seconds, uniform(source, 0.5, 1.6), 0.05)[:5]
    return placed(n, rate, times, (stroke * uniform(source, 0.5, 1) for _ in times))


def plucked_string(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) a few notes on one string instrument, melody or strum, each let ring."""
    n, root = int(seconds * rate), log_uniform(source, 110, 280)
    steps = np.array([0, 2, 4, 7, 9, 12])
    times = rhythm(source, seconds, log_uniform(source, 0.15, 0.9), 0.1)
    damping, bright = uniform(source, 0.985, 0.998), uniform(source, 0.15, 0.9)
    pitches = root * 2 ** (steps[source.integers(0, len(steps), len(times))] / 12)
    ring = log_uniform(source, 0.2, 1.5)
    return placed(n, rate, times, (_pluck(source, rate, hertz, ring, damping, bright) for hertz in pitches))


def drum(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) a bar of kick, snare and cymbal, or one of them alone, repeated on a grid of eighths."""
    n, eighth = int(seconds * rate), 60 / uniform(source, 70, 170) / 2
    beats = np.arange(0, seconds, eighth) + uniform(source, 0, 0.5 * min(eighth, seconds))
    kit = (_kick(source, rate), _snare(source, rate), _cymbal(source, rate))
    pattern = source.random((3, 8)) < source.random((3, 1)) * np.array([[0.7], [0.6], [0.9]])
    pattern[source.integers(0, 3), 0] = True
    wave = np.zeros(n)
    for sound, row in zip(kit, pattern):
        hits = [time for i, time in enumerate(beats) if row[i % 8] and time < seconds]
        wave += placed(n, rate, hits, (sound * uniform(source, 0.6, 1) for _ in hits))
    return wave


def _pluck(source: Generator, rate: int, hertz: float, ring: float, damping: float, bright: float) -> np.ndarray:
    """Karplus and Strong's string (1983): a cycle of noise that goes round a gentle low-pass, all rounds at once.

    After k rounds the cycle's spectrum is the first one times the loop's gain to the k.
    """
    period, rounds = max(8, round(rate / hertz)), max(2, int(ring * hertz))
    first = np.fft.rfft(source.standard_normal(period))
    first[0] = 0
    angle = np.linspace(0, np.pi, len(first))
    first *= 1 / (1 + (1 - bright) * 6 * angle)
    loop = damping * np.sqrt(np.cos(0.5 * angle * (1.1 - bright)))
    cycles = np.fft.irfft(first * loop ** np.arange(rounds)[:, None], period, axis=1)
    wave = cycles.ravel()
    return wave * pulse(len(wave), rate, 0.001, ring / 3)


def _kick(source: Generator, rate: int) -> np.ndarray:
    n = int(log_uniform(source, 0.1, 0.4) * rate)
    fall = np.exp(-seconds_axis(n, rate) / uniform(source, 0.02, 0.06))
    pitch = log_uniform(source, 40, 110) * (1 + uniform(source, 1, 4) * fall)
    return 1.5 * tone(pitch, rate, np.array([1.0, 0.2])) * pulse(n, rate, 0.002, n / rate / 4)


def _snare(source: Generator, rate: int) -> np.ndarray:
    rattle = burst(source, rate, log_uniform(source, 0.02, 0.1), log_uniform(source, 400, 1500), 7000)
    skin = damped(source, rate, log_uniform(source, 140, 350) * np.array([1, 1.6]), np.ones(2), np.full(2, 0.05))
    return placed(max(len(rattle), len(skin)), rate, (0, 0), (0.7 * rattle, skin))


def _cymbal(source: Generator, rate: int) -> np.ndarray:
    return uniform(source, 0.2, 0.7) * burst(source, rate, log_uniform(source, 0.01, 0.15), 3500, 9000)
