"""Struck things whose rhythm tells them apart: clock, typing, footsteps, drops; and glass, which breaks only once."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import burst, damped, hump, log_uniform, placed, rhythm, tone, uniform


def clock_tick(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) clicks as even as clockwork, about two to six a second, tick and tock of slightly different colour."""
    n, gap = int(seconds * rate), 1 / log_uniform(source, 1.5, 6.5)
    colour = log_uniform(source, 2800, 5000)
    tick = _click(source, rate, colour)
    tock = _click(source, rate, colour * uniform(source, 0.75, 1.3)) * uniform(source, 0.5, 1.0)
    return placed(n, rate, rhythm(source, seconds, gap, 0.005), cycle([tick, tock]))


def typing(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) key strokes in hasty uneven runs with pauses between, each key a little different."""
    n, colour = int(seconds * rate), log_uniform(source, 1000, 2600)
    keys = [_click(source, rate, colour * uniform(source, 0.8, 1.25)) for _ in range(4)]
    times = [
        start + offset
        for start in rhythm(source, seconds, uniform(source, 0.6, 1.6), 0.4)
        for offset in np.cumsum(0.06 + source.exponential(0.07, int(source.integers(2, 9))))
        if start + offset < seconds
    ]
    strokes = (keys[i] * force for i, force in zip(source.integers(0, 4, 999), 0.4 + 0.6 * source.random(999)))
    return placed(n, rate, times or [0.0], strokes)


def footsteps(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) heel and sole on wood, stone or gravel, at a walker's or a runner's pace, never quite even."""
    n, gap = int(seconds * rate), uniform(source, 0.28, 0.8)
    low, grit = log_uniform(source, 80, 260), uniform(source, 0, 0.5)
    lag = uniform(source, 0.04, 0.12)
    times = rhythm(source, seconds, gap, 0.1)
    steps = (_step(source, rate, low, grit, lag) * uniform(source, 0.5, 1) for _ in times)
    return placed(n, rate, times, steps)


def water_drops(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) drops into water at unforeseen times: each rings as a bubble whose pitch rises as it closes."""
    n, colour = int(seconds * rate), log_uniform(source, 600, 1500)
    times = np.sort(seconds * source.random(max(1, int(seconds * log_uniform(source, 0.8, 6)))))
    drops = (_bubble(source, rate, colour * uniform(source, 0.7, 1.5)) * uniform(source, 0.3, 1) for _ in times)
    return placed(n, rate, times, drops)


def glass(source: Generator, rate: int, seconds: float) -> np.ndarray:
    """(S,) one crash, then splinters that ring high and fall ever more rarely."""
    n, start = int(seconds * rate), seconds * uniform(source, 0, 0.5)
    low = log_uniform(source, 1600, 3200)
    crash = burst(source, rate, log_uniform(source, 0.02, 0.12), low, log_uniform(source, 6000, 9000))
    after = source.exponential(uniform(source, 0.1, 0.5), int(log_uniform(source, 15, 60)))
    shards = (_shard(source, rate, low) * np.exp(-1.5 * wait) for wait in after)
    wave = uniform(source, 0.3, 1.5) * placed(n, rate, [start], [crash])
    return wave + placed(n, rate, start + after, shards)


def _click(source: Generator, rate: int, colour: float) -> np.ndarray:
    """A small hard knock: a burst of noise and two or three modes around ``colour`` hertz."""
    modes = colour * (0.7 + 0.8 * source.random(3))
    body = damped(source, rate, modes, 0.3 + source.random(3), 0.004 + 0.03 * source.random(3))
    noise = burst(source, rate, log_uniform(source, 0.001, 0.006), colour * 0.6, colour * 1.8)
    return placed(max(len(body), len(noise)), rate, (0, 0), (body, noise * uniform(source, 0.3, 1.5)))


def _step(source: Generator, rate: int, low: float, grit: float, lag: float) -> np.ndarray:
    """Heel, and ``lag`` seconds later the sole; ``grit`` is the share of scraping noise."""
    heel = burst(source, rate, uniform(source, 0.008, 0.03), low, low * 4)
    sole = burst(source, rate, uniform(source, 0.015, 0.05), low * 1.5, low * 8, 0.008)
    sand = burst(source, rate, uniform(source, 0.02, 0.06), 1000, 6000, 0.02)
    return placed(rate // 2, rate, (0, lag, 0.5 * lag), (heel, 0.5 * sole, grit * sand))


def _bubble(source: Generator, rate: int, hertz: float) -> np.ndarray:
    """One drop: a tone that rises by up to an octave and dies within 20 to 100 ms."""
    n = int(log_uniform(source, 0.03, 0.12) * rate)
    at = np.linspace(0, 1, n)
    ring = tone(hertz * 2 ** (uniform(source, 0.1, 1.0) * at), rate, np.array([1.0])) * np.exp(-4 * at)
    return ring * hump(n, rate, 0.002)


def _shard(source: Generator, rate: int, low: float) -> np.ndarray:
    """One splinter: three inharmonic modes above ``low`` hertz."""
    modes = low * (1 + 3 * source.random(3))
    return damped(source, rate, modes, 0.3 * source.random(3), 0.01 + 0.08 * source.random(3))
