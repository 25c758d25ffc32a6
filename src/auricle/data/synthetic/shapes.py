"""Building blocks of synthetic sounds: random numbers, envelopes, filters, noise, tones and onset times.

Times are in seconds, frequencies in hertz; waveforms are float64 (S,). All randomness comes from the generator ``rng``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.random import Generator


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number from the uniform distribution over [low, high)."""
    return low + (high - low) * float(rng.random())


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number from the log-uniform distribution over [low, high)."""
    return low * (high / low) ** float(rng.random())


def seconds_axis(n: int, rate: int) -> np.ndarray:
    """Return the time of each sample in seconds, (n,)."""
    return np.arange(n) / rate


def random_curve(rng: Generator, n: int, rate: int, hertz: float) -> np.ndarray:
    """Draw a smooth random curve (n,) in [0, 1] with about ``hertz`` new values per second."""
    points = rng.random(int(n / rate * hertz) + 3)
    at = np.linspace(0, len(points) - 1.001, n)
    before = at.astype(int)
    mix = 0.5 - 0.5 * np.cos(np.pi * (at - before))
    return points[before] * (1 - mix) + points[before + 1] * mix


def decay_envelope(n: int, rate: int, attack: float, decay: float) -> np.ndarray:
    """Return an envelope (n,) that rises within ``attack`` seconds and then falls by e every ``decay`` seconds."""
    t = seconds_axis(n, rate)
    return np.minimum(1.0, (t + 1 / rate) / attack) * np.exp(-np.maximum(0.0, t - attack) / decay)


def tapered_envelope(n: int, rate: int, edge: float) -> np.ndarray:
    """Return an envelope (n,) of ones with raised-cosine edges of ``edge`` seconds."""
    t = seconds_axis(n, rate)
    ramp = np.clip(np.minimum(t, t[::-1]) / edge, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * ramp)


def bandpass_gain(hertz: np.ndarray, low: float, high: float, order: int = 2) -> np.ndarray:
    """Return the gain of a Butterworth-like band-pass between two corner frequencies."""
    safe = np.maximum(hertz, 1.0)
    return 1 / np.sqrt((1 + (low / safe) ** (2 * order)) * (1 + (safe / high) ** (2 * order)))


def slope_gain(hertz: np.ndarray, decibels_per_octave: float) -> np.ndarray:
    """Return the gain of a constant spectral slope, 1 at 1 kHz, flat below 50 Hz."""
    return (np.maximum(hertz, 50.0) / 1000.0) ** (decibels_per_octave / (20 * np.log10(2)))


def resonances(hertz: np.ndarray, centres: Sequence[float], width: float) -> np.ndarray:
    """Return the gain of parallel resonances: 1 at each centre, bandwidth ``width`` relative to the centre."""
    return sum((1 / (1 + ((hertz - c) / (0.5 * width * c)) ** 2) for c in centres), np.zeros_like(hertz))


def fft_frequencies(n: int, rate: int) -> np.ndarray:
    """Return the frequencies of the gain of ``apply_gain``, (n // 2 + 1,)."""
    return np.fft.rfftfreq(n, 1 / rate)


def apply_gain(wave: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Filter a waveform (S,) without delay by a gain (S // 2 + 1,) over frequency."""
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave))


def normalise_rms(wave: np.ndarray) -> np.ndarray:
    """Normalise a waveform to a root mean square of 1 (silence stays silent)."""
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-9)


def convolve(wave: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    """Convolve a waveform (S,) with an impulse response; return the first S samples."""
    size = 1 << (len(wave) + len(impulse) - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(impulse, size), size)[: len(wave)]


def band_noise(rng: Generator, n: int, rate: int, low: float, high: float) -> np.ndarray:
    """Draw Gaussian noise (n,) between two corner frequencies, with a root mean square of 1."""
    return normalise_rms(
        apply_gain(rng.standard_normal(n), bandpass_gain(fft_frequencies(n, rate), low, min(high, 0.48 * rate)))
    )


def burst(rng: Generator, rate: int, decay: float, low: float, high: float, attack: float = 0.001) -> np.ndarray:
    """Draw a burst of noise: seven decay times long, with its maximum after ``attack`` seconds."""
    n = max(32, int((attack + 7 * decay) * rate))
    return band_noise(rng, n, rate, low, high) * decay_envelope(n, rate, attack, decay)


def damped_sines(rng: Generator, rate: int, partials: np.ndarray, levels: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Return a sum of exponentially damped sines: frequencies (hertz), levels and decay times (seconds) per partial."""
    audible = partials < 0.48 * rate
    n = max(32, int(6 * float(decays.max()) * rate))
    t = seconds_axis(n, rate)
    phases = 2 * np.pi * rng.random(len(partials))
    wave = np.zeros(n)
    for hertz, level, decay, phase in zip(partials[audible], levels[audible], decays[audible], phases[audible]):
        m = min(n, int(6 * decay * rate))
        wave[:m] += level * np.exp(-t[:m] / decay) * np.sin(2 * np.pi * hertz * t[:m] + phase)
    return wave * np.minimum(1.0, t / 0.0005)


def tone(pitch: np.ndarray, rate: int, harmonics: np.ndarray) -> np.ndarray:
    """Return a periodic waveform (S,) with a pitch (S,) in hertz; harmonics that would alias are left out."""
    usable = max(1, int(0.48 * rate / float(pitch.max())))
    spectrum = np.zeros(1025, dtype=complex)
    audible = harmonics[: min(usable, 1000)]
    spectrum[1 : 1 + len(audible)] = -1j * audible
    cycle = np.fft.irfft(spectrum, 2048) * 1024
    phase = np.cumsum(pitch) / rate % 1.0
    return np.interp(phase, np.arange(2049) / 2048, np.append(cycle, cycle[0]))


def onset_times(rng: Generator, seconds: float, gap: float, jitter: float) -> np.ndarray:
    """Draw onset times, at least one: intervals of ``gap`` seconds with a relative jitter of up to ``jitter``."""
    count = int(2 * seconds / gap) + 2
    gaps = gap * (1 + jitter * (2 * rng.random(count) - 1))
    times = np.cumsum(gaps) - gaps[0] * rng.random()
    return times[: max(1, int(np.searchsorted(times, seconds)))] if times[0] < seconds else np.zeros(1)


def add_events(n: int, rate: int, times: Iterable[float], events: Iterable[np.ndarray]) -> np.ndarray:
    """Sum events in a waveform (n,); each starts at its time in seconds and is cut at the end."""
    wave = np.zeros(n)
    for time, event in zip(times, events):
        start = min(max(0, int(time * rate)), n - 1)
        event = event[: n - start]
        wave[start : start + len(event)] += event
    return wave
