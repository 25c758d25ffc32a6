"""The contract of decoders, the errors they raise, and the notes about files that are read all the same."""

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
