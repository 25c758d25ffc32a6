"""What every decoder offers: facts of the stream, and its samples in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from auricle.core.errors import AudioError, MissingExtra

CHUNK = 1 << 15  # samples per channel held at once


class TruncatedAudioError(AudioError):
    """Decoding stopped before the length that the file declares; what came before it is sound."""


class MissingMediaError(AudioError, MissingExtra):
    """The file may be fine, but its format needs PyAV. Over a folder it counts as one file that cannot be used."""


class Decoder(Protocol):
    """An open file. rate in hertz; format such as "wav/pcm_16" or "mov/aac".

    num_samples per channel, as declared by the file or else counted; exact: whether that number is a promise, so that
    fewer decoded samples (less ``slack``) mean a truncated file.
    """

    name: str
    rate: int
    channels: int
    format: str
    exact: bool
    slack: int

    @property
    def num_samples(self) -> int: ...

    def chunks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        """(n, channels) float32 blocks of samples [start, stop); to the end of the file for None.

        Raises TruncatedAudioError where the data breaks off or cannot be decoded.
        """
        ...

    def close(self) -> None: ...


def breaks_off(source: Decoder, samples: int, why: str = "") -> TruncatedAudioError:
    """The error of a stream that ended after ``samples`` samples."""
    declared = source.num_samples if source.exact else 0
    promise = f" of the {declared / source.rate:.3f} s it declares" if declared > samples else ""
    reason = f" ({why})" if why else ""
    return TruncatedAudioError(
        f"{source.name}: truncated or damaged: {samples / source.rate:.3f} s{promise} can be decoded{reason}; "
        "get the file again (in Python, allow_truncated=True reads what there is)"
    )
