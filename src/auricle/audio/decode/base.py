"""The contract of decoders, the errors they raise, notes about files that are read all the same, and absurd levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from auricle.core.errors import AudioError, MissingExtra

BLOCK_SAMPLES = 1 << 15  # per channel, held at once


class TruncatedAudioError(AudioError):
    """Decoding stopped before the length that the file declares. The samples before it are good."""


class MissingMediaError(AudioError, MissingExtra):
    """The format needs PyAV, which is not installed. Over a folder it counts as one file that cannot be used."""


@dataclass(frozen=True)
class AudioNote:
    """A statement about a file that was read although something about it is unusual.

    Attributes:
        kind: "header": the header does not declare the length of what is there; everything was read (``strict`` refuses
            such files). "level": samples far outside [-1, 1]. "offset": the mean is far from 0. "silence": all samples
            are equal.
        message: a sentence that begins with the file's name.
    """

    kind: Literal["header", "level", "offset", "silence"]
    message: str


SEVERAL = {
    "header": "files have a header that does not declare the length of what is there; everything was read",
    "level": "files have samples far outside [-1, 1]",
    "offset": "files have a mean far from 0 (an offset, DC)",
    "silence": "files hold one and the same sample from beginning to end (digital silence)",
}


def note_texts(notes: Iterable[AudioNote]) -> tuple[str, ...]:
    """Return a line for each kind of note: the message of a single file, or the number of files and the first message."""
    kinds: dict[str, dict[str, None]] = {}
    for note in notes:
        kinds.setdefault(note.kind, {})[note.message] = None
    texts = []
    for kind, messages in kinds.items():
        first = next(iter(messages))
        texts.append(first if len(messages) == 1 else f"{len(messages)} {SEVERAL[kind]}; the first: {first}")
    return tuple(texts)


class Decoder(Protocol):
    """An open file.

    Attributes:
        name: the file's name, for messages.
        rate: hertz.
        channels: number of channels.
        format: container and codec, such as "wav/pcm_16" or "mov/aac".
        exact: True if ``num_samples`` is declared by the file, so that fewer decoded samples (less ``slack``) mean a
            truncated file.
        slack: samples that an untruncated file of this format may lack.
        notes: what the file declares wrongly, as statements about it.
    """

    name: str
    rate: int
    channels: int
    format: str
    exact: bool
    slack: int
    notes: tuple[str, ...]

    @property
    def num_samples(self) -> int:
        """Samples per channel, as the file declares them, else counted by decoding."""
        ...

    def blocks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        """Yield the samples [start, stop) as (n, channels) float32; None: to the end of the file.

        Raises:
            TruncatedAudioError: where the data ends early or cannot be decoded.
        """
        ...

    def close(self) -> None: ...


def truncated(decoder: Decoder, samples: int, reason: str = "") -> TruncatedAudioError:
    """Return the error of a file that ended after ``samples`` samples."""
    declared = decoder.num_samples if decoder.exact else 0
    of_declared = f" of the {declared / decoder.rate:.3f} s it declares" if declared > samples else ""
    reason = f" ({reason})" if reason else ""
    return TruncatedAudioError(
        f"{decoder.name}: truncated or damaged: {samples / decoder.rate:.3f} s{of_declared} can be decoded{reason}; "
        "get the file again (in Python, allow_truncated=True reads what there is)"
    )


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
