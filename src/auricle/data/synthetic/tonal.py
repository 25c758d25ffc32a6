"""Sounds that are a moving or interrupted tone: siren, beeps, bird chirp, insect."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    band_noise,
    glide,
    hump,
    log_uniform,
    placed,
    rhythm,
    seconds_axis,
    tone,
    uniform,
)


def siren(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) a tone that never stops and wails slowly, yelps fast, or goes to and fro between two pitches."""
    n = int(seconds * rate)
    t = seconds_axis(n, rate) + uniform(source, 0, 5)
    low, kind = log_uniform(source, 450, 850), source.random()
    span = uniform(source, 1.35, 2.2)
    if kind < 0.4:
        path = 0.5 - 0.5 * np.cos(2 * np.pi * t * log_uniform(source, 0.2, 0.7))
    elif kind < 0.7:
        path = t * log_uniform(source, 1.2, 4.0) % 1.0
    else:
        path = (t * log_uniform(source, 0.6, 1.6) % 1.0 > 0.5).astype(float)
    return tone(low * span**path, rate, _timbre(source, 8))


def beeps(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) an alarm: short steady tones with clean edges at even distances, of one pitch or of two in turn."""
    n, gap = int(seconds * rate), log_uniform(source, 0.12, 0.7)
    size = max(64, int(gap * uniform(source, 0.25, 0.7) * rate))
    second = 1.0 if source.random() < 0.6 else uniform(source, 0.7, 1.5)
    pitches = log_uniform(source, 1000, 2200) * np.array([1.0, second])
    colour, edge = _timbre(source, 6), hump(size, rate, 0.004)
    notes = [edge * tone(np.full(size, pitch), rate, colour) for pitch in pitches]
    return placed(n, rate, rhythm(source, seconds, gap, 0.0), cycle(notes))


def bird_chirp(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) phrases of short whistled syllables, each gliding up, down or over a hump, sometimes trilled."""
    n = int(seconds * rate)
    height = log_uniform(source, 2400, 4200)
    repertoire = [_syllable(source, rate, height) for _ in range(int(source.integers(1, 4)))]
    wave = np.zeros(n)
    for start in rhythm(source, seconds, uniform(source, 0.4, 1.1), 0.5):
        count, gap = int(source.integers(1, 7)), uniform(source, 0.08, 0.22)
        order = source.integers(0, len(repertoire), count)
        times = [start + i * gap for i in range(count) if start + i * gap < seconds]
        force = uniform(source, 0.4, 1.0)
        wave += placed(n, rate, times, (force * repertoire[i] for i in order))
    return wave


def insect(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) a cricket's or cicada's narrow band of sound, pulsed 15 to 90 times a second, in chirps or without end."""
    n = int(seconds * rate)
    carrier, t = log_uniform(source, 3600, 6500), seconds_axis(n, rate)
    noisy = source.random()
    width = uniform(source, 0.03, 0.25)
    sound = (1 - noisy) * tone(carrier * (1 + 0.01 * glide(source, n, rate, 20)), rate, np.array([1.0, 0.15]))
    sound = sound + noisy * band_noise(source, n, rate, carrier * (1 - width), carrier * (1 + width))
    pulses = 0.5 - 0.5 * np.cos(2 * np.pi * t * log_uniform(source, 15, 90))
    chirps = np.ones(n)
    if source.random() < 0.6:
        chirps = (t * uniform(source, 1.0, 4.0) % 1.0 < uniform(source, 0.3, 0.7)).astype(float)
    return sound * pulses ** uniform(source, 0.5, 3) * chirps * (0.5 + 0.5 * glide(source, n, rate, 0.7))


def _timbre(source: Generator, count: int) -> np.ndarray:
    """(count,) strengths of harmonics, from nearly pure to bright."""
    return source.random(count) ** uniform(source, 0.3, 2) * np.arange(1, count + 1) ** -uniform(source, 0.5, 3.0)


def _syllable(source: Generator, rate: int, height: float) -> np.ndarray:
    """One whistled syllable of 30 to 180 ms around ``height`` hertz."""
    n = int(log_uniform(source, 0.03, 0.18) * rate)
    at = np.linspace(0, 1, n)
    bend, arch = uniform(source, -0.6, 0.6), uniform(source, -0.4, 0.4)
    pitch = height * uniform(source, 0.8, 1.3) * 2 ** (bend * (at - 0.5) + arch * np.sin(np.pi * at))
    if source.random() < 0.35:
        pitch = pitch * (1 + uniform(source, 0.03, 0.1) * np.sin(2 * np.pi * uniform(source, 25, 60) * at * n / rate))
    return np.sin(np.pi * at) ** uniform(source, 0.5, 2) * tone(pitch, rate, np.array([1.0, uniform(source, 0, 0.3)]))
