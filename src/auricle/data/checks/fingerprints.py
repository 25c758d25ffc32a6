"""Fingerprints of sound that survive another gain, another codec and a shift: the sub-fingerprints of Haitsma and Kalker.

Source: J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002, sections 4 and 5: frames of 0.37 s
every 11.6 ms, 33 bands on a logarithmic scale from 300 to 2000 Hz, and of every frame 32 bits: bit m is 1 if the difference of the
energies of bands m and m + 1 has grown since the frame before. The bits whose difference is smallest are the ones that another copy
of the sound may have otherwise; they are kept too.

Different from there: frames are centred, with zeros around the clip, so that half a second of sound has frames too; frames far
below the loudest one have no fingerprint, because the bits of silence are those of its rounding noise.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from auricle.audio.resample import ResampleStream

RATE = 5500  # hertz; the bands end at 2000 Hz
FRAME, HOP = 2048, 64  # samples: 0.372 s and 11.6 ms
BANDS = 33
LOWEST, HIGHEST = 300.0, 2000.0  # hertz
DEPTH = 1e-4  # frames 40 dB below the loudest one are silence beside it
FAINTEST = 1e-9  # energy of a frame below which nothing but rounding is left: of 16 bits at full scale it is 1e-4
WEAK = 4  # uncertain bits of a frame that are kept
MOST_FRAMES = 20_000  # of a clip: four minutes whole; of a longer one, a sample that every copy of it shares
BATCH = 512  # frames transformed together: 4 MB


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of a clip.

    Attributes:
        keys: (M,) uint32, the 32 bits of each frame, the lowest band first (bit 31).
        frames: (M,) uint32, ascending numbers of the frames; frame k is centred at ``k * HOP / RATE`` seconds.
        weak: (M, WEAK) uint8, the bands whose bits are least certain.
    """

    keys: np.ndarray
    frames: np.ndarray
    weak: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def to_text(self) -> str:
        """Return the fingerprint as ASCII text."""
        parts = (self.keys.astype("<u4"), self.frames.astype("<u4"), self.weak)
        return base64.b85encode(b"".join(part.tobytes() for part in parts)).decode()

    @classmethod
    def from_text(cls, text: str) -> Fingerprint:
        """Return what ``to_text`` wrote. Raises ValueError for any other text."""
        data = base64.b85decode(text)
        count, rest = divmod(len(data), 8 + WEAK)
        if rest:
            raise ValueError("no fingerprint")
        keys, frames = np.frombuffer(data, "<u4", 2 * count).reshape(2, count).astype(np.uint32)
        return cls(keys, frames, np.frombuffer(data, np.uint8, offset=8 * count).reshape(count, WEAK))


EMPTY = Fingerprint(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros((0, WEAK), np.uint8))


class Fingerprinter:
    """Computes the fingerprint of a wave that comes in blocks.

    Args:
        rate: hertz of the wave.
    """

    def __init__(self, rate: int):
        self._stream = ResampleStream(rate, RATE)
        self._held = np.zeros(FRAME // 2, np.float32)
        self._before: np.ndarray | None = None  # band energies of the last frame
        self._keys: list[np.ndarray] = []
        self._weak: list[np.ndarray] = []
        self._energies: list[np.ndarray] = []

    def push(self, wave: np.ndarray) -> None:
        """Take the next samples (n,) float32."""
        self._transform(self._stream.push(wave))

    def finish(self) -> Fingerprint:
        """End the wave and return its fingerprint."""
        self._transform(self._stream.flush())
        self._transform(np.zeros(FRAME // 2, np.float32))
        if not self._keys:
            return EMPTY
        keys, energies = np.concatenate(self._keys), np.concatenate(self._energies)
        numbers = np.flatnonzero(energies > max(float(energies.max()) * DEPTH, FAINTEST))
        numbers = numbers[numbers > 0]  # the first frame has none before it
        if len(numbers) > MOST_FRAMES:
            chosen = np.argpartition(scattered(keys[numbers]), MOST_FRAMES)[:MOST_FRAMES]
            numbers = np.sort(numbers[chosen])
        return Fingerprint(keys[numbers], numbers.astype(np.uint32), np.concatenate(self._weak)[numbers])

    def _transform(self, samples: np.ndarray) -> None:
        held = np.concatenate([self._held, samples])
        count = max(0, (len(held) - FRAME) // HOP + 1)
        self._held = held[count * HOP :]
        for first in range(0, count, BATCH):
            part = held[first * HOP : (min(first + BATCH, count) - 1) * HOP + FRAME]
            self._add(np.lib.stride_tricks.sliding_window_view(part, FRAME)[::HOP])

    def _add(self, frames: np.ndarray) -> None:
        from scipy.fft import rfft  # a third of the time of NumPy's, and float32 stays float32 with every version

        window, edges = _window_and_edges()
        spectrum = rfft(frames * window, axis=1)[:, edges[0] : edges[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.add.reduceat(power, edges[:-1] - edges[0], axis=1)
        before = bands[:1] if self._before is None else self._before
        slopes = -np.diff(np.concatenate([before, bands]), axis=1)
        changes = np.diff(slopes, axis=0)
        self._keys.append(np.packbits(changes > 0, axis=1).view(">u4")[:, 0].astype(np.uint32))
        self._weak.append(np.argpartition(np.abs(changes), WEAK, axis=1)[:, :WEAK].astype(np.uint8))
        self._energies.append(bands.sum(axis=1))
        self._before = bands[-1:]


@lru_cache(maxsize=1)
def _window_and_edges() -> tuple[np.ndarray, np.ndarray]:
    """The window (FRAME,), and the first bin of every band with the end of the last one (BANDS + 1,)."""
    hertz = np.geomspace(LOWEST, HIGHEST, BANDS + 1)
    return np.hanning(FRAME).astype(np.float32), np.round(hertz * FRAME / RATE).astype(int)


def scattered(keys: np.ndarray) -> np.ndarray:
    """Return (M,) uint32, a permutation of all keys in which neighbours are far apart.

    The smallest ones are a sample of the frames that two clips choose alike (S. Schleimer et al., "Winnowing", SIGMOD 2003). The
    function is the finaliser of MurmurHash3 (A. Appleby, public domain).
    """
    keys = keys.copy()
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        keys ^= keys >> np.uint32(shift)
        keys *= np.uint32(factor)
    return keys
