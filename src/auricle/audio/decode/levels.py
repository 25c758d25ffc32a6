"""Levels of decoded samples: absurd ones are refused, unusual ones are noted."""

from __future__ import annotations

import numpy as np

from auricle.audio.decode.base import AudioNote
from auricle.core.errors import AudioError

ABSURD = float(1 << 32)  # no integer format has larger values; the power of such a spectrum overflows float32
LOUD = 10.0  # 20 dB above full scale; decoders of lossy formats reach 2
OFFSET = 0.1  # of the mean
INTEGER_SCALES = {"16-bit": 32768.0, "24-bit": 8388608.0, "32-bit": 2147483648.0}


class Levels:
    """Lowest, highest and mean sample of the blocks of a file.

    Args:
        name: the file's, for messages.
        rate: hertz.
        first: position of the first sample.
    """

    def __init__(self, name: str, rate: int, first: int):
        self.name, self.rate, self.at = name, rate, first
        self.low, self.high, self.sum, self.count = np.inf, -np.inf, 0.0, 0

    def add(self, block: np.ndarray) -> None:
        """Add the next block (n, channels). Raises AudioError for samples that are no numbers or absurd."""
        if not block.size:
            return
        low, high = float(block.min()), float(block.max())
        if not (low >= -ABSURD and high <= ABSURD):  # false for NaN too
            raise self._absurd(block)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.sum, self.count = self.sum + float(block.sum()), self.count + block.size
        self.at += len(block)

    def _absurd(self, block: np.ndarray) -> AudioError:
        finite = np.isfinite(block)
        bad = ~(finite & (np.abs(block) <= ABSURD)).all(axis=1)
        row = int(np.flatnonzero(bad)[0])
        seconds = (self.at + row) / self.rate
        if not finite.all():
            row = int(np.flatnonzero(~finite.all(axis=1))[0])
            what = f"NaN or infinite samples, the first at {(self.at + row) / self.rate:.3f} s"
        else:
            what = f"a sample of {block[row][np.abs(block[row]).argmax()]:.3g} at {seconds:.3f} s, far outside [-1, 1]"
        return AudioError(f"{self.name}: holds {what}; repair the file or leave it out")

    def notes(self, whole: bool) -> list[AudioNote]:
        """Return what is unusual; silence and offset only if the blocks were the ``whole`` file."""
        if not self.count:
            return []
        notes, peak = [], max(-self.low, self.high)
        if peak > LOUD:
            notes.append(AudioNote("level", f"{self.name}: samples reach {peak:.6g}, expected [-1, 1]{_scale(peak)}"))
        mean = self.sum / self.count
        if whole and self.low == self.high:
            what = "digital silence" if self.low == 0 else f"all samples are {self.low:.4g}"
            notes.append(AudioNote("silence", f"{self.name}: {what}"))
        elif whole and abs(mean) >= OFFSET and peak <= LOUD:
            notes.append(AudioNote("offset", f"{self.name}: the mean of the samples is {mean:.2g}, expected about 0"))
        return notes


def _scale(peak: float) -> str:
    for name, scale in INTEGER_SCALES.items():
        if scale / 256 < peak <= scale * 1.01:
            return f": they look like {name} integers stored as floats; divide them by {scale:.0f}"
    return ""
