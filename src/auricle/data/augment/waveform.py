"""Augment waveforms: gain, circular shift, impulse responses, and the mixture of two clips
([efficientat_training 5](docs/specification/efficientat_training.md#s5)).

Functions that compute take the drawn numbers. ``WaveAugment`` holds the settings and draws them by key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES, read
from auricle.audio.sources import files_below
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey


def with_gain(wave: np.ndarray, decibels: float) -> np.ndarray:
    """Return wave * 10^(dB / 20)."""
    return wave * np.float32(10 ** (decibels / 20))


def rolled(wave: np.ndarray, shift: int) -> np.ndarray:
    """Shift (S,) circularly: out[k] = wave[(k - shift) mod S]."""
    return np.roll(wave, shift)


def mixed_waves(wave: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Mix two clips (S,) after their means are removed, and remove the mean of the mixture."""
    wave, other = wave - wave.mean(), other - other.mean()
    mixture = np.float32(share) * wave + np.float32(1 - share) * other
    return mixture - mixture.mean()


def convolved(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve (S,) with an impulse response, causally, cut to the first S samples; the level is not corrected."""
    size = len(wave) + len(response) - 1
    product = np.fft.rfft(wave, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(wave)].astype(np.float32)


@dataclass(frozen=True)
class WaveAugment:
    """Settings of the augmentation of one clip.

    Attributes:
        gain: -gain to gain - 1 whole decibels, uniform; 0: none.
        roll: -roll to roll samples, uniform; 0: none.
        responses: folder of impulse responses; "": none.
        response_ratio: share of the clips that are convolved with one.
        rate: sample rate of the clips, hertz.
    """

    gain: int = 0
    roll: int = 0
    responses: str = ""
    response_ratio: float = 0.0
    rate: int = 0

    def __call__(self, wave: np.ndarray, key: RandomKey) -> np.ndarray:
        """Augment (S,): impulse response, gain, roll, each with its own draw."""
        if self.responses and key.of("impulse response").random() < self.response_ratio:
            responses = impulse_responses(self.responses, self.rate)
            wave = convolved(wave, responses[int(key.of("which response").integers(0, len(responses)))])
        if self.gain:
            wave = with_gain(wave, int(key.of("gain").integers(-self.gain, self.gain)))
        shift = self.shift(key)
        return rolled(wave, shift) if shift else wave

    def shift(self, key: RandomKey) -> int:
        """Draw the samples by which a clip is shifted circularly; 0 without ``roll``."""
        return int(key.of("roll").integers(-self.roll, self.roll + 1)) if self.roll else 0


def draw_share(key: RandomKey, alpha: float = 2.0) -> float:
    """Draw the clip's own share of a mixture of two waveforms: Beta(alpha, alpha), at least a half."""
    share = float(key.of("wave mixup share").beta(alpha, alpha))
    return max(share, 1 - share)


@lru_cache(maxsize=4)
def impulse_responses(folder: str, rate: int) -> tuple[np.ndarray, ...]:
    """Read the impulse responses of a folder, sorted by path, mono, at ``rate``.

    Raises:
        AuricleError: the folder holds none.
    """
    names = sorted(files_below(Path(folder), AUDIO_SUFFIXES)) if Path(folder).is_dir() else []
    if not names:
        raise AuricleError(f"--impulse-responses {folder} holds no recordings; expected a folder of WAV files")
    return tuple(read(Path(folder) / name, rate=rate, mono="mean").wave for name in names)
