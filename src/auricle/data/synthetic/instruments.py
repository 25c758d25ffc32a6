"""Sounds with a pitch: siren, beeps, bird chirp, insect; bell, plucked string, drum; dog bark and vowels."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    apply_gain,
    band_noise,
    burst,
    damped_sines,
    decay_envelope,
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
    syllables = (_spoken_syllable(rng, rate, gap * voiced_ratio, pitch * m, v, breath) for m, v in zip(melody, vowels))
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


def _spoken_syllable(
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
