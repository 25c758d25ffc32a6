"""The bandwidth of a recording: the frequency above which it holds nothing, where that edge is sharp.

Sound that was recorded at a lower rate and upsampled, or that went through a codec or a telephone, ends at a sharp edge far below
half its sample rate. Sound that just has little treble falls off slowly. The edge is looked for in the mean spectrum, as in
B. D'Alessandro and Y. Q. Shi, "MP3 bit rate quality detection through frequency spectrum analysis", ACM MM&Sec 2009.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIZE, HOP = 1024, 1024  # samples of a frame and between two frames: statistics need no overlap
HARRIS = (
    0.35875,
    0.48829,
    0.14128,
    0.01168,
)  # 4-term Blackman-Harris window, side lobes at -92 dB (F. J. Harris, Proc. IEEE 1978)
SIDE, GAP = 10, 4  # bins compared on both sides of an edge, and between them and the edge
BATCH = 512  # frames transformed together: 4 MB
# An edge: the mean falls by at least 30 dB within GAP bins to both sides, and nothing above comes nearer than 25 dB. Half of the
# clips of ESC-10 (Ogg) fall by more than 38 dB somewhere, most of them at 16 kHz (0.73 of half the rate), where many MP3
# encoders end.
LEAST_DROP, LEAST_EMPTY = 30.0, 25.0  # dB
# A chirp has an upper edge too, but only while it sounds. So the mean of the logarithms over the frames must fall as well, in which
# counts what is there all the time.
LEAST_STEADY_DROP = 10.0  # dB
ROUNDING = -101.0  # dB of full scale: the power of rounding to 16 bits; what is below counts as this
NOTHING = (
    -80.0
)  # dB of full scale: white noise of this power is that of rounding to 13 bits; a recorder's own noise is louder
TINY = 1e-20  # power of a bin, far below rounding
LOWEST_EDGE = 2000.0  # hertz; below half the lowest usual rate, a steep fall is the sound's own
HIGHEST_EDGE = 0.7  # of half the sample rate; above, the codec's usual low-pass is no fault


class Bandwidth:
    """Finds the edge of the mean spectrum of a wave that comes in blocks.

    Args:
        rate: hertz of the wave.
    """

    def __init__(self, rate: int):
        self.rate = rate
        self._held = np.zeros(0, np.float32)
        self._power = np.zeros(SIZE // 2 + 1)
        self._logarithms = np.zeros(SIZE // 2 + 1)
        self._frames = self._sounding = 0

    def push(self, wave: np.ndarray) -> None:
        """Take the next samples (n,) float32."""
        held = np.concatenate([self._held, wave])
        count = len(held) // SIZE
        self._held = held[count * SIZE :]
        frames = held[: count * SIZE].reshape(count, SIZE)
        for first in range(0, count, BATCH):
            self._add(frames[first : first + BATCH])

    def finish(self) -> float | None:
        """Return the hertz above which the recording holds nothing; None where it has no sharp edge far below half its rate."""
        if not self._frames:  # else the rest is left out: sound that ends inside a frame spreads over all frequencies
            self._add(np.pad(self._held, (0, SIZE - len(self._held)))[None])
        power = self._power / max(self._frames, 1) + TINY
        sums = np.concatenate([[0.0], np.cumsum(power)])
        edges = np.arange(max(SIDE + GAP, round(LOWEST_EDGE * SIZE / self.rate)), len(power) - SIDE - GAP)
        if not len(edges):
            return None
        below = (sums[edges - GAP] - sums[edges - GAP - SIDE]).clip(TINY) / SIDE
        above = (sums[edges + GAP + SIDE] - sums[edges + GAP]).clip(TINY) / SIDE
        drops = 10 * np.log10(below / above)
        best = int(drops.argmax())
        edge = int(edges[best])
        emptiness = 10 * np.log10(below[best] / power[edge + GAP :].max())
        level = 10 * np.log10(power[edge + GAP :].mean() / _energy())
        if edge > HIGHEST_EDGE * (len(power) - 1) or level > NOTHING:
            return None
        steady = (
            self._logarithms[edge - GAP - SIDE : edge - GAP].mean()
            - self._logarithms[edge + GAP : edge + GAP + SIDE].mean()
        )
        if drops[best] < LEAST_DROP or emptiness < LEAST_EMPTY or 10 * steady < LEAST_STEADY_DROP * self._sounding:
            return None
        near = power[edge - GAP - SIDE : edge + GAP + SIDE]
        last = int(np.flatnonzero(near > np.sqrt(below[best] * above[best]))[-1]) + edge - GAP - SIDE
        return round(last * self.rate / SIZE, -1)

    def _add(self, frames: np.ndarray) -> None:
        from scipy.fft import rfft  # as in ``fingerprints.py``

        spectrum = rfft(frames * _window(), axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        floor = 10 ** (ROUNDING / 10) * _energy()
        sounding = power[power.mean(axis=1) > 2 * floor]
        self._power += power.sum(axis=0, dtype=np.float64)
        self._logarithms += np.log10(sounding + floor).sum(axis=0, dtype=np.float64)
        self._frames, self._sounding = self._frames + len(frames), self._sounding + len(sounding)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    angles = 2 * np.pi * np.arange(SIZE) / SIZE
    return sum((-1) ** k * a * np.cos(k * angles) for k, a in enumerate(HARRIS)).astype(np.float32)  # type: ignore[union-attr]


@lru_cache(maxsize=1)
def _energy() -> float:
    """Power of a bin for white noise of power 1."""
    return float(np.square(_window()).sum())
