"""A pulsing source behind resonances: dog bark and vowels."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    band_noise,
    frequencies,
    glide,
    hump,
    log_uniform,
    peaks,
    placed,
    rhythm,
    seconds_axis,
    shaped,
    tone,
    uniform,
)

# First three formants in hertz of i, ɛ, æ, ɑ, u (men's averages: Peterson and Barney 1952, table II).
VOWELS = np.array([[270, 2290, 3010], [530, 1840, 2480], [660, 1720, 2410], [730, 1090, 2440], [300, 870, 2240]])


def dog_bark(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) groups of short rough barks of one dog, from a big dog's woof to a small one's yap."""
    n, size = int(seconds * rate), log_uniform(source, 0.75, 1.6)
    pitch, rough = log_uniform(source, 180, 420) * size, uniform(source, 0.2, 0.8)
    throat = np.array([550, 1150, 2600]) * size * np.array([uniform(source, 0.8, 1.25) for _ in range(3)])
    times = rhythm(source, seconds, uniform(source, 0.3, 1.1), 0.35)
    return placed(n, rate, times, (_bark(source, rate, pitch, throat, rough) for _ in times))


def vowel_voice(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) a child, woman or man who sings or speaks syllables of one vowel each, with pauses."""
    n, size = int(seconds * rate), uniform(source, 0.9, 1.45)
    pitch, gap = log_uniform(source, 85, 330), log_uniform(source, 0.16, 0.8)
    times = rhythm(source, seconds, gap, 0.3)
    held, breath = uniform(source, 0.6, 1.1), uniform(source, 0, 0.3)
    melody = 2 ** (uniform(source, 0.05, 0.5) * (source.random(len(times)) - 0.5))
    vowels = VOWELS[source.integers(0, len(VOWELS), len(times))] * size
    syllables = (_syllable(source, rate, gap * held, pitch * m, v, breath) for m, v in zip(melody, vowels))
    return placed(n, rate, times, syllables)


def _bark(source: Generator, rate: int, pitch: float, throat: np.ndarray, rough: float) -> np.ndarray:
    """One bark of 90 to 260 ms: the pitch leaps up and falls, a good part is noise."""
    n = int(log_uniform(source, 0.09, 0.26) * rate)
    at = np.linspace(0, 1, n)
    path = pitch * uniform(source, 0.9, 1.15) * (0.7 + 0.6 * np.sin(np.pi * at**0.6))
    buzz = tone(path, rate, np.arange(1, 40) ** -0.7)
    wave = (1 - rough) * buzz + rough * 2 * band_noise(source, n, rate, 200, 6000) * (0.5 + 0.5 * np.sign(buzz))
    shaped_wave = shaped(wave, 0.05 + peaks(frequencies(n, rate), list(throat), 0.35))
    return shaped_wave * np.minimum(1, at / 0.06) * (1 - at) ** uniform(source, 0.7, 2)


def _syllable(
    source: Generator, rate: int, seconds: float, pitch: float, formants: np.ndarray, breath: float
) -> np.ndarray:
    """One vowel: glottal pulses with vibrato and a falling or rising line, through its formants."""
    n = max(256, int(seconds * rate))
    t = seconds_axis(n, rate)
    vibrato = 1 + uniform(source, 0, 0.03) * np.sin(2 * np.pi * uniform(source, 4.5, 6.5) * t)
    line = 2 ** (uniform(source, -0.35, 0.25) * np.linspace(0, 1, n))
    glottis = tone(pitch * vibrato * line, rate, np.arange(1, 90) ** -1.3)
    air = breath * band_noise(source, n, rate, 1000, 7000) * (0.5 + 0.5 * glide(source, n, rate, 8))
    hertz = frequencies(n, rate)
    return shaped(glottis + air, 0.02 + peaks(hertz, list(formants), 0.16)) * hump(n, rate, min(0.05, 0.3 * seconds))
