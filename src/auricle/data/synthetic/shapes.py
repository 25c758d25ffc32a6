"""What every synthetic sound is made of: draws in a range, bursts, tones, damped partials, filters, places in time.

All functions are pure: the generator is passed in, times are in seconds, frequencies in hertz, waves are float64 (S,).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.random import Generator


def uniform(source: Generator, low: float, high: float) -> float:
    """One number in [low, high)."""
    return low + (high - low) * float(source.random())


def log_uniform(source: Generator, low: float, high: float) -> float:
    """One number in [low, high), equally likely in every octave."""
    return low * (high / low) ** float(source.random())


def seconds_axis(n: int, rate: int) -> np.ndarray:
    """(n,) the time of each sample in seconds."""
    return np.arange(n) / rate


def glide(source: Generator, n: int, rate: int, hertz: float) -> np.ndarray:
    """(n,) a smooth random curve in [0, 1] that takes a new value about ``hertz`` times a second."""
    points = source.random(int(n / rate * hertz) + 3)
    at = np.linspace(0, len(points) - 1.001, n)
    before = at.astype(int)
    mix = 0.5 - 0.5 * np.cos(np.pi * (at - before))
    return points[before] * (1 - mix) + points[before + 1] * mix


def pulse(n: int, rate: int, attack: float, decay: float) -> np.ndarray:
    """(n,) an envelope that rises within ``attack`` seconds and then falls by e every ``decay`` seconds."""
    t = seconds_axis(n, rate)
    return np.minimum(1.0, (t + 1 / rate) / attack) * np.exp(-np.maximum(0.0, t - attack) / decay)


def hump(n: int, rate: int, edge: float) -> np.ndarray:
    """(n,) an envelope of one with raised-cosine edges of ``edge`` seconds."""
    t = seconds_axis(n, rate)
    ramp = np.clip(np.minimum(t, t[::-1]) / edge, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def band(hertz: np.ndarray, low: float, high: float, order: int = 2) -> np.ndarray:
    """Gain of a Butterworth-like band-pass between two corner frequencies."""
    safe = np.maximum(hertz, 1.0)
    return 1 / np.sqrt((1 + (low / safe) ** (2 * order)) * (1 + (safe / high) ** (2 * order)))


def tilt(hertz: np.ndarray, decibels_per_octave: float) -> np.ndarray:
    """Gain of a straight spectral slope, 1 at 1 kHz, flat below 50 Hz."""
    return (np.maximum(hertz, 50.0) / 1000.0) ** (decibels_per_octave / (20 * np.log10(2)))


def peaks(hertz: np.ndarray, centres: Sequence[float], width: float) -> np.ndarray:
    """Gain of parallel resonances, each 1 at its centre and ``width`` (relative to its centre) wide."""
    return sum((1 / (1 + ((hertz - c) / (0.5 * width * c)) ** 2) for c in centres), np.zeros_like(hertz))


def frequencies(n: int, rate: int) -> np.ndarray:
    """The frequencies at which ``shaped`` takes its gain."""
    return np.fft.rfftfreq(n, 1 / rate)


def shaped(wave: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """``wave`` (S,) filtered with no delay by ``gain`` (S // 2 + 1,)."""
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave))


def unit(wave: np.ndarray) -> np.ndarray:
    """The wave at root mean square 1 (silence stays silent)."""
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-9)


def convolved(wave: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    """(S,) the first S samples of the convolution of ``wave`` (S,) with ``impulse``."""
    size = 1 << (len(wave) + len(impulse) - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(impulse, size), size)[: len(wave)]


def band_noise(source: Generator, n: int, rate: int, low: float, high: float) -> np.ndarray:
    """(n,) Gaussian noise between two corner frequencies, of root mean square 1."""
    return unit(shaped(source.standard_normal(n), band(frequencies(n, rate), low, min(high, 0.48 * rate))))


def burst(source: Generator, rate: int, decay: float, low: float, high: float, attack: float = 0.001) -> np.ndarray:
    """A struck noise: seven decay times long, loudest after ``attack`` seconds."""
    n = max(32, int((attack + 7 * decay) * rate))
    return band_noise(source, n, rate, low, high) * pulse(n, rate, attack, decay)


def damped(source: Generator, rate: int, partials: np.ndarray, levels: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """A struck body: partials (hertz) of the given levels, each falling by e in its decay (seconds)."""
    audible = partials < 0.48 * rate
    n = max(32, int(6 * float(decays.max()) * rate))
    t = seconds_axis(n, rate)
    phases = 2 * np.pi * source.random(len(partials))
    wave = np.zeros(n)
    for hertz, level, decay, phase in zip(partials[audible], levels[audible], decays[audible], phases[audible]):
        m = min(n, int(6 * decay * rate))
        wave[:m] += level * np.exp(-t[:m] / decay) * np.sin(2 * np.pi * hertz * t[:m] + phase)
    return wave * np.minimum(1.0, t / 0.0005)


def tone(pitch: np.ndarray, rate: int, harmonics: np.ndarray) -> np.ndarray:
    """(S,) a periodic sound of time-varying pitch (S,) in hertz; harmonics that would alias are left out."""
    usable = max(1, int(0.48 * rate / float(pitch.max())))
    spectrum = np.zeros(1025, dtype=complex)
    kept = harmonics[: min(usable, 1000)]
    spectrum[1 : 1 + len(kept)] = -1j * kept
    cycle = np.fft.irfft(spectrum, 2048) * 1024
    phase = np.cumsum(pitch) / rate % 1.0
    return np.interp(phase, np.arange(2049) / 2048, np.append(cycle, cycle[0]))


def rhythm(source: Generator, seconds: float, gap: float, jitter: float) -> np.ndarray:
    """Onset times, at least one: gaps of ``gap`` seconds, each off by up to ``jitter`` of itself."""
    count = int(2 * seconds / gap) + 2
    gaps = gap * (1 + jitter * (2 * source.random(count) - 1))
    times = np.cumsum(gaps) - gaps[0] * source.random()
    return times[: max(1, int(np.searchsorted(times, seconds)))] if times[0] < seconds else np.zeros(1)


def placed(n: int, rate: int, times: Iterable[float], events: Iterable[np.ndarray]) -> np.ndarray:
    """(n,) the sum of the events, each begun at its time in seconds and cut at the end."""
    wave = np.zeros(n)
    for time, event in zip(times, events):
        start = min(max(0, int(time * rate)), n - 1)
        piece = event[: n - start]
        wave[start : start + len(piece)] += piece
    return wave
