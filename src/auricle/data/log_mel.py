"""The log-mel spectrogram of a sound file, as it is stored for training (specification m2d 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.errors import AudioError
from auricle.signal.decode import AudioInfo, blocks, probe, read
from auricle.signal.front_ends import FrontEnd, front_end


@dataclass(frozen=True)
class LogMelOf:
    """``log_mel_of(audio)`` -> (F, N) float32, natural log-mel, not normalised.

    Sound shorter than ``min_seconds`` is zero-padded at its end before the transform, to int(rate * min_seconds)
    samples; recordings longer than ``block_seconds`` are transformed block by block. Can be sent to another process.
    """

    front_end: str
    min_seconds: float = 0.0
    block_seconds: float = 600.0

    def __call__(
        self, audio: Path, start: float = 0.0, end: float | None = None, info: AudioInfo | None = None
    ) -> np.ndarray:
        """Of [start, end) seconds; ``info`` is what ``probe`` said of the file, where it was asked already.

        Raises AudioError for a broken file and for one too short to transform.
        """
        seconds = (info or probe(audio)).seconds
        if end is None and not start and seconds > max(self.block_seconds, self.min_seconds):
            return self.in_blocks(audio)
        return self.in_one_piece(audio, start, end)

    def in_one_piece(self, audio: Path, start: float = 0.0, end: float | None = None) -> np.ndarray:
        front = front_end(self.front_end)
        wave = read(audio, start=start, end=end, rate=front.sample_rate, mono="mean", resampler=front.resampler).wave
        wave = np.pad(wave, (0, max(0, int(self.min_seconds * front.sample_rate) - len(wave))))
        if len(wave) < front.min_samples:
            raise AudioError(
                f"{audio} lasts {1000 * len(wave) / front.sample_rate:.0f} ms; a spectrogram needs at least "
                f"{1000 * front.min_samples / front.sample_rate:.0f} ms: leave it out, or have short sound padded"
            )
        return log_mel_of_wave(wave, front)

    def in_blocks(self, audio: Path) -> np.ndarray:
        from auricle.data.long_audio import log_mel_of_blocks

        front = front_end(self.front_end)
        waves = blocks(
            audio, seconds=self.block_seconds, rate=front.sample_rate, mono="mean", resampler=front.resampler
        )
        return log_mel_of_blocks(waves, front)


def log_mel_of_wave(wave: np.ndarray, front: FrontEnd) -> np.ndarray:
    """(S,) at the front end's rate -> (F, N) float32."""
    import torch

    return front(torch.from_numpy(wave)[None])[0].numpy()
