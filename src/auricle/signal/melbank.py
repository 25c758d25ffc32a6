"""The Slaney mel bank, bit-identical to librosa 0.11's default (specification m2d 1.2 point 5)."""

from __future__ import annotations

import numpy as np

HZ_PER_MEL = 200.0 / 3  # linear below 1 kHz
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0  # logarithmic above


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: 200/3 Hz per mel up to 1 kHz, then logarithmic."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(hz, 1e-9) / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    mel = np.asarray(mel, np.float64)
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


def slaney_bank(rate: int, fft: int, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """(bands, fft // 2 + 1) float32 triangles on the exact bin frequencies, each times 2 / its width in hertz."""
    edges = mel_to_hz(np.linspace(hz_to_mel(np.array(fmin)), hz_to_mel(np.array(fmax)), bands + 2))
    ramps = edges[:, None] - np.fft.rfftfreq(fft, 1.0 / rate)
    widths = np.diff(edges)[:, None]
    rise, fall = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    bank = np.zeros((bands, fft // 2 + 1), np.float32)
    bank[:] = np.maximum(0.0, np.minimum(rise, fall))
    bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return bank
