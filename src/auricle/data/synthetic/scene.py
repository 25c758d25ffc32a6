"""From a bare sound to a recording: a place in the clip, a room, a microphone, a background and a level."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic import SOUNDS
from auricle.data.synthetic.machine import hum
from auricle.data.synthetic.shapes import (
    band,
    convolved,
    frequencies,
    glide,
    log_uniform,
    placed,
    seconds_axis,
    shaped,
    tilt,
    uniform,
    unit,
)

SNR_DECIBELS = (10.0, 35.0)  # root mean square of the sound over that of its background, over the whole clip
LEVEL_DECIBELS = (-34.0, -16.0)  # root mean square of the clip re full scale
PEAK = 0.97


def recording(source: Generator, name: str, rate: int, seconds: float) -> np.ndarray:
    """(S,) float32 in [-1, 1], S = round(seconds * rate): one clip of class ``name``, drawn from ``source`` alone."""
    n = round(seconds * rate)
    sound = unit(in_room(source, _somewhere(source, name, rate, n), rate))
    noise = unit(background(source, n, rate))
    mixture = sound + noise * _gain(-uniform(source, *SNR_DECIBELS))
    return _at_level(source, unit(through_microphone(source, mixture, rate)))


def in_room(source: Generator, wave: np.ndarray, rate: int) -> np.ndarray:
    """The wave with exponentially decaying reverberation: RT60 of 0.1 to 0.9 s, 30 to 3 dB below the direct sound."""
    decay = log_uniform(source, 0.1, 0.9)
    n = int(0.8 * decay * rate)
    tail = source.standard_normal(n) * 10 ** (-3 * seconds_axis(n, rate) / decay)
    tail = shaped(tail, band(frequencies(n, rate), 100, log_uniform(source, 1500, 7000), 1))
    tail *= _gain(uniform(source, -30, -3)) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    return wave + convolved(wave, tail)


def background(source: Generator, n: int, rate: int) -> np.ndarray:
    """(n,) noise of a random slope and band that wanders in strength, at times with mains hum."""
    hertz = frequencies(n, rate)
    corners = log_uniform(source, 20, 200), log_uniform(source, 1500, 20000)
    gain = tilt(hertz, uniform(source, -9, 0)) * band(hertz, *corners, order=1)
    wave = unit(shaped(source.standard_normal(n), gain)) * (1 - uniform(source, 0, 0.8) * glide(source, n, rate, 1))
    return wave + uniform(source, 0, 0.5) * unit(hum(source, rate, n)) if source.random() < 0.2 else wave


def through_microphone(source: Generator, wave: np.ndarray, rate: int) -> np.ndarray:
    """The wave through a microphone of random slope (up to 1.5 dB an octave either way) and band."""
    hertz = frequencies(len(wave), rate)
    corners = log_uniform(source, 20, 120), log_uniform(source, 5000, 20000)
    return shaped(wave, tilt(hertz, uniform(source, -1.5, 1.5)) * band(hertz, *corners))


def _somewhere(source: Generator, name: str, rate: int, n: int) -> np.ndarray:
    """(n,) the bare sound over about seven tenths to all of the clip, at a random place, faded in and more slowly out.

    Its length is in tenths of a second, since such lengths transform fast.
    """
    seconds = round(max(0.3, n / rate * uniform(source, 0.7, 1.0)), 1)
    sound = SOUNDS[name](source, rate, seconds)[:n]
    t = seconds_axis(len(sound), rate)
    sound = sound * np.minimum(1.0, t / 0.005) * np.minimum(1.0, t[::-1] / log_uniform(source, 0.02, 0.5))
    return placed(n, rate, [uniform(source, 0, (n - len(sound)) / rate)], [sound])


def _at_level(source: Generator, wave: np.ndarray) -> np.ndarray:
    """A wave of root mean square 1 at a random level, quieter where its peak would pass ``PEAK``."""
    wave = wave * _gain(uniform(source, *LEVEL_DECIBELS))
    return (wave * min(1.0, PEAK / float(np.abs(wave).max()))).astype(np.float32)


def _gain(decibels: float) -> float:
    return 10 ** (decibels / 20)
