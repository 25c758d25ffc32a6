"""Impact sounds: clock, typing, footsteps and water drops, which differ in rhythm; and breaking glass."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    burst,
    damped_sines,
    log_uniform,
    onset_times,
    tapered_envelope,
    tone,
    uniform,
)


def clock_tick(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise the regular clicks of a clock, about 1.5 to 6.5 per second; tick and tock differ in colour."""
    n, gap = int(seconds * rate), 1 / log_uniform(rng, 1.5, 6.5)
    colour = log_uniform(rng, 2800, 5000)
    tick = _click(rng, rate, colour)
    tock = _click(rng, rate, colour * uniform(rng, 0.75, 1.3)) * uniform(rng, 0.5, 1.0)
    return add_events(n, rate, onset_times(rng, seconds, gap, 0.005), cycle([tick, tock]))


def typing(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise key strokes in irregular groups with pauses; the keys differ slightly."""
    n, colour = int(seconds * rate), log_uniform(rng, 1000, 2600)
    keys = [_click(rng, rate, colour * uniform(rng, 0.8, 1.25)) for _ in range(4)]
    times = [
        start + offset
        for start in onset_times(rng, seconds, uniform(rng, 0.6, 1.6), 0.4)
        for offset in np.cumsum(0.06 + rng.exponential(0.07, int(rng.integers(2, 9))))
        if start + offset < seconds
    ]
    strokes = (keys[i] * force for i, force in zip(rng.integers(0, 4, 999), 0.4 + 0.6 * rng.random(999)))
    return add_events(n, rate, times or [0.0], strokes)


def footsteps(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise steps (heel and sole) on wood, stone or gravel, at walking or running pace."""
    n, gap = int(seconds * rate), uniform(rng, 0.28, 0.8)
    low, grit = log_uniform(rng, 80, 260), uniform(rng, 0, 0.5)
    lag = uniform(rng, 0.04, 0.12)
    times = onset_times(rng, seconds, gap, 0.1)
    steps = (_step(rng, rate, low, grit, lag) * uniform(rng, 0.5, 1) for _ in times)
    return add_events(n, rate, times, steps)


def water_drops(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise water drops at random times: each is a tone with rising pitch, like a closing bubble."""
    n, colour = int(seconds * rate), log_uniform(rng, 600, 1500)
    times = np.sort(seconds * rng.random(max(1, int(seconds * log_uniform(rng, 0.8, 6)))))
    drops = (_bubble(rng, rate, colour * uniform(rng, 0.7, 1.5)) * uniform(rng, 0.3, 1) for _ in times)
    return add_events(n, rate, times, drops)


def glass(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise one crash, followed by ringing splinters of decreasing density."""
    n, start = int(seconds * rate), seconds * uniform(rng, 0, 0.5)
    low = log_uniform(rng, 1600, 3200)
    crash = burst(rng, rate, log_uniform(rng, 0.02, 0.12), low, log_uniform(rng, 6000, 9000))
    after = rng.exponential(uniform(rng, 0.1, 0.5), int(log_uniform(rng, 15, 60)))
    shards = (_shard(rng, rate, low) * np.exp(-1.5 * wait) for wait in after)
    wave = uniform(rng, 0.3, 1.5) * add_events(n, rate, [start], [crash])
    return wave + add_events(n, rate, start + after, shards)


def _click(rng: Generator, rate: int, colour: float) -> np.ndarray:
    """Synthesise a click: a burst of noise and three modes around ``colour`` hertz."""
    modes = colour * (0.7 + 0.8 * rng.random(3))
    body = damped_sines(rng, rate, modes, 0.3 + rng.random(3), 0.004 + 0.03 * rng.random(3))
    noise = burst(rng, rate, log_uniform(rng, 0.001, 0.006), colour * 0.6, colour * 1.8)
    return add_events(max(len(body), len(noise)), rate, (0, 0), (body, noise * uniform(rng, 0.3, 1.5)))


def _step(rng: Generator, rate: int, low: float, grit: float, lag: float) -> np.ndarray:
    """Synthesise a heel and, ``lag`` seconds later, the sole; ``grit`` is the level of scraping noise."""
    heel = burst(rng, rate, uniform(rng, 0.008, 0.03), low, low * 4)
    sole = burst(rng, rate, uniform(rng, 0.015, 0.05), low * 1.5, low * 8, 0.008)
    sand = burst(rng, rate, uniform(rng, 0.02, 0.06), 1000, 6000, 0.02)
    return add_events(rate // 2, rate, (0, lag, 0.5 * lag), (heel, 0.5 * sole, grit * sand))


def _bubble(rng: Generator, rate: int, hertz: float) -> np.ndarray:
    """Synthesise a drop: a decaying tone of 30 to 120 ms that rises by up to an octave."""
    n = int(log_uniform(rng, 0.03, 0.12) * rate)
    at = np.linspace(0, 1, n)
    ring = tone(hertz * 2 ** (uniform(rng, 0.1, 1.0) * at), rate, np.array([1.0])) * np.exp(-4 * at)
    return ring * tapered_envelope(n, rate, 0.002)


def _shard(rng: Generator, rate: int, low: float) -> np.ndarray:
    """Synthesise a splinter: three inharmonic modes above ``low`` hertz."""
    modes = low * (1 + 3 * rng.random(3))
    return damped_sines(rng, rate, modes, 0.3 * rng.random(3), 0.01 + 0.08 * rng.random(3))
