"""Sounds without a pitch, and machines: clock, typing, footsteps, water drops, breaking glass; engine, helicopter, sawing,
mains hum; rain, wind, applause.
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
from numpy.random import Generator

from auricle.data.synthetic.shapes import (
    add_events,
    apply_gain,
    band_noise,
    bandpass_gain,
    burst,
    damped_sines,
    fft_frequencies,
    log_uniform,
    normalise_rms,
    onset_times,
    random_curve,
    resonances,
    seconds_axis,
    slope_gain,
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


def engine(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise an engine: pulses at 18 to 110 hertz with drifting or revving speed, filtered by resonances."""
    n = int(seconds * rate)
    revving = uniform(rng, 0.03, 0.9)
    pitch = log_uniform(rng, 18, 80) * (1 + revving * random_curve(rng, n, rate, log_uniform(rng, 0.3, 1.5)))
    order = np.arange(1, 120)
    strengths = order ** -uniform(rng, 0.3, 1.2) * (0.2 + rng.random(len(order)))
    wave = tone(pitch, rate, strengths * np.where(rng.random(len(order)) < 0.5, 1, -1))
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
    wave += uniform(rng, 0.1, 1.5) * pulses * band_noise(rng, n, rate, 80, log_uniform(rng, 800, 3000))
    body = [log_uniform(rng, 90, 250), log_uniform(rng, 400, 1000), log_uniform(rng, 1200, 3000)]
    return apply_gain(wave, 0.1 + resonances(fft_frequencies(n, rate), body, uniform(rng, 0.4, 1.2)))


def helicopter(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a helicopter: low rotor pulses at 7 to 22 hertz over the tone and noise of a turbine."""
    n = int(seconds * rate)
    blades = uniform(rng, 7, 22) * (1 + 0.06 * random_curve(rng, n, rate, 0.5))
    turn = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(blades) / rate)
    sharp = uniform(rng, 2, 10)
    wave = turn**sharp * band_noise(rng, n, rate, log_uniform(rng, 40, 120), log_uniform(rng, 300, 1200))
    wave += uniform(rng, 0.05, 0.4) * band_noise(rng, n, rate, 100, log_uniform(rng, 1500, 5000))
    whine = log_uniform(rng, 300, 2500) * (1 + 0.02 * random_curve(rng, n, rate, 1))
    wave += uniform(rng, 0.0, 0.2) * tone(whine, rate, np.array([1.0, 0.4, 0.2]))
    return wave * (0.3 + 0.7 * random_curve(rng, n, rate, 0.4))


def sawing(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise a hand saw: two to five strokes of noise per second; push and pull differ in spectrum."""
    n = int(seconds * rate)
    speed = log_uniform(rng, 0.8, 2.6) * (1 + 0.15 * random_curve(rng, n, rate, 1))
    stroke = np.sin(2 * np.pi * (np.cumsum(speed) / rate + rng.random()))
    teeth = log_uniform(rng, 40, 160) * (0.3 + np.abs(stroke))
    rasp = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(teeth) / rate)
    low = log_uniform(rng, 900, 2000)
    push = np.clip(stroke, 0, None) ** 1.5 * band_noise(rng, n, rate, low, low * uniform(rng, 2, 6))
    pull_low = low * uniform(rng, 0.7, 1.6)
    pull = np.clip(-stroke, 0, None) ** 1.5 * band_noise(rng, n, rate, pull_low, pull_low * uniform(rng, 2, 5))
    pause = random_curve(rng, n, rate, 0.4) > uniform(rng, 0, 0.25)
    return (push + uniform(rng, 0.3, 1.0) * pull) * (1 - uniform(rng, 0, 0.7) * rasp) * _soft(pause, rate)


def _soft(gate: np.ndarray, rate: int) -> np.ndarray:
    """Smooth the edges of a gate over 10 ms, so that it does not click."""
    width = max(1, rate // 100)
    total = np.cumsum(np.concatenate([np.zeros(width), gate.astype(float)]))
    return (total[width:] - total[:-width]) / width


def hum(rng: Generator, rate: int, n: int) -> np.ndarray:
    """Synthesise mains hum (n,) of 50 or 60 Hz, for backgrounds."""
    mains = 50.0 if rng.random() < 0.5 else 60.0
    drift = 1 + 0.001 * np.sin(2 * np.pi * 0.3 * seconds_axis(n, rate))
    return tone(mains * drift, rate, rng.random(8) / np.arange(1, 9))


def rain(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise rain, light to heavy: clicks of random level over broadband noise."""
    n = int(seconds * rate)
    hertz = fft_frequencies(n, rate)
    drops = _grains(rng, n, rate, log_uniform(rng, 60, 3000))
    body = bandpass_gain(hertz, log_uniform(rng, 500, 2000), log_uniform(rng, 4000, 9000), 1)
    hiss = apply_gain(rng.standard_normal(n), slope_gain(hertz, uniform(rng, -5, 3)))
    wave = normalise_rms(apply_gain(drops, body)) + uniform(rng, 0.1, 0.7) * normalise_rms(hiss)
    return wave * (1 - uniform(rng, 0, 0.4) * random_curve(rng, n, rate, 0.7))


def wind(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise wind: bands of noise with slow gusts; stronger wind has higher bands, sometimes a whistle."""
    n = int(seconds * rate)
    gust = random_curve(rng, n, rate, log_uniform(rng, 0.5, 3.0))
    base, wave = log_uniform(rng, 80, 500), np.zeros(n)
    for octave in range(5):
        strength = gust ** (1 + octave * uniform(rng, 0.4, 1.0))
        wave += strength * band_noise(rng, n, rate, base * 2**octave * 0.7, base * 2**octave * 1.4) / (1 + octave)
    if rng.random() < 0.4:
        whistle = log_uniform(rng, 500, 2000)
        wave += uniform(rng, 0.1, 0.6) * gust**2 * band_noise(rng, n, rate, whistle * 0.93, whistle * 1.07)
    return wave


def applause(rng: Generator, rate: int, seconds: float) -> np.ndarray:
    """Synthesise applause of up to fifty people who differ in spectrum, tempo and level."""
    n, wave = int(seconds * rate), np.zeros(int(seconds * rate))
    for _ in range(int(log_uniform(rng, 3, 50))):
        low = log_uniform(rng, 450, 1100)
        clap = burst(rng, rate, log_uniform(rng, 0.003, 0.015), low, low * uniform(rng, 1.8, 5))
        times = onset_times(rng, seconds, uniform(rng, 0.18, 0.4), 0.15)
        forces = log_uniform(rng, 0.15, 1.0) * (0.6 + 0.4 * rng.random(len(times)))
        wave += add_events(n, rate, times, (force * clap for force in forces))
    swell = uniform(rng, 0, 0.8)
    return wave * (1 - swell * random_curve(rng, n, rate, 0.5))


def _grains(rng: Generator, n: int, rate: int, per_second: float) -> np.ndarray:
    """Draw impulses with random signs, heavy-tailed levels and random positions, (n,)."""
    count = max(1, int(per_second * n / rate))
    wave = np.zeros(n)
    np.add.at(wave, rng.integers(0, n, count), rng.standard_normal(count) * np.exp(rng.standard_normal(count)))
    return wave
