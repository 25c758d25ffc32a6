"""Voices by the source-filter model: dog bark and vowels."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    apply_gain,
    band_noise,
    fft_frequencies,
    log_uniform,
    onset_times,
    random_curve,
    resonances,
    seconds_axis,
    tapered_envelope,
    tone,
    uniform,
)

# First three formants in hertz of i, ɛ, æ, ɑ, u (men's averages: Peterson and Barney 1952, table II).
VOWELS = np.array([[270, 2290, 3010], [530, 1840, 2480], [660, 1720, 2410], [730, 1090, 2440], [300, 870, 2240]])


def dog_bark(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise short barks of one dog, large or small."""
    n, size = int(seconds * rate), log_uniform(rng, 0.75, 1.6)
    pitch, rough = log_uniform(rng, 180, 420) * size, uniform(rng, 0.2, 0.8)
    throat = np.array([550, 1150, 2600]) * size * np.array([uniform(rng, 0.8, 1.25) for _ in range(3)])
    times = onset_times(rng, seconds, uniform(rng, 0.3, 1.1), 0.35)
    return add_events(n, rate, times, (_bark(rng, rate, pitch, throat, rough) for _ in times))


def vowel_voice(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a voice (child, woman or man) with syllables of one vowel each, and pauses."""
    n, size = int(seconds * rate), uniform(rng, 0.9, 1.45)
    pitch, gap = log_uniform(rng, 85, 330), log_uniform(rng, 0.16, 0.8)
    times = onset_times(rng, seconds, gap, 0.3)
    voiced_ratio, breath = uniform(rng, 0.6, 1.1), uniform(rng, 0, 0.3)
    melody = 2 ** (uniform(rng, 0.05, 0.5) * (rng.random(len(times)) - 0.5))
    vowels = VOWELS[rng.integers(0, len(VOWELS), len(times))] * size
    syllables = (_syllable(rng, rate, gap * voiced_ratio, pitch * m, v, breath) for m, v in zip(melody, vowels))
    return add_events(n, rate, times, syllables)


def _bark(rng: Generator, rate: int, pitch: float, throat: np.ndarray, rough: float) -> np.ndarray:
    """Synthesise a bark of 90 to 260 ms: the pitch rises and falls; part of it is noise."""
    n = int(log_uniform(rng, 0.09, 0.26) * rate)
    at = np.linspace(0, 1, n)
    path = pitch * uniform(rng, 0.9, 1.15) * (0.7 + 0.6 * np.sin(np.pi * at**0.6))
    buzz = tone(path, rate, np.arange(1, 40) ** -0.7)
    wave = (1 - rough) * buzz + rough * 2 * band_noise(rng, n, rate, 200, 6000) * (0.5 + 0.5 * np.sign(buzz))
    shaped_wave = apply_gain(wave, 0.05 + resonances(fft_frequencies(n, rate), list(throat), 0.35))
    return shaped_wave * np.minimum(1, at / 0.06) * (1 - at) ** uniform(rng, 0.7, 2)


def _syllable(
    rng: Generator, rate: int, seconds: float, pitch: float, formants: np.ndarray, breath: float
) -> np.ndarray:
    """Synthesise a vowel: glottal pulses with vibrato and a pitch contour, filtered by its formants."""
    n = max(256, int(seconds * rate))
    t = seconds_axis(n, rate)
    vibrato = 1 + uniform(rng, 0, 0.03) * np.sin(2 * np.pi * uniform(rng, 4.5, 6.5) * t)
    line = 2 ** (uniform(rng, -0.35, 0.25) * np.linspace(0, 1, n))
    glottis = tone(pitch * vibrato * line, rate, np.arange(1, 90) ** -1.3)
    air = breath * band_noise(rng, n, rate, 1000, 7000) * (0.5 + 0.5 * random_curve(rng, n, rate, 8))
    hertz = fft_frequencies(n, rate)
    return apply_gain(glottis + air, 0.02 + resonances(hertz, list(formants), 0.16)) * tapered_envelope(
        n, rate, min(0.05, 0.3 * seconds)
    )
