"""The decoder on libsndfile: wav (also RF64, W64), flac, ogg, opus, mp3, aiff, au, caf and other formats it knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from auricle.audio.decode.base import BLOCK_SAMPLES, truncated
from auricle.audio.decode.declared_length import data_size, mp3_length, ogg_is_truncated, opened_bytes
from auricle.core.errors import AudioError

BYTES_PER_SAMPLE = {
    "PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1,
}  # fmt: skip
UNKNOWN_LENGTH = 1 << 60  # libsndfile gives 2^63 - 1 for a FLAC stream of unknown length
MP3_PREROLL = 16 * 1152  # a frame may need bits of many frames before it; straight after a seek it would be silent
MP3_SLACK = 1152  # old encoders count the frame of the length header too


class VariableRateError(AudioError):
    """An MP3 of variable bit rate without a length header: libsndfile would stop at a guess."""


class SequentialFile(soundfile.SoundFile):
    """A SoundFile that does not seek between reads.

    soundfile seeks after each read of a file that says it can be sought. In an MP3 that loses the bits that the next
    frames borrow from earlier ones (they come out silent), and at the end of a FLAC of unknown length it is an error.
    """

    def seekable(self) -> bool:
        return False


class SoundFileDecoder:
    """A ``Decoder`` on libsndfile. Raises soundfile.LibsndfileError for formats that it does not know."""

    def __init__(self, file: Path | BinaryIO, name: str):
        self.name = name
        self.content = os.fsencode(file) if isinstance(file, Path) and os.name == "posix" else file
        self.file = SequentialFile(self.content)
        self.can_seek = super(SequentialFile, self.file).seekable()
        self.rate, self.channels = self.file.samplerate, self.file.channels
        self.format = f"{self.file.format}/{self.file.subtype}".lower()
        if self.file.format == "RAW":  # libsndfile decodes any file named .au or .snd as telephone audio
            self.close()
            raise AudioError(f"{name}: not audio that can be decoded (no header that says its rate and format)")
        self.slack = MP3_SLACK if self.file.format == "MP3" else 0
        try:
            with opened_bytes(file) as content:
                self._declared, self.defect = self._declared_length(content)
        except BaseException:
            self.close()
            raise
        self.exact = self._declared is not None

    def _declared_length(self, content: BinaryIO) -> tuple[int | None, str]:
        """Samples the file declares, or None; why the file is known to be truncated, or ""."""
        frames = self.file.frames
        if self.file.format == "MP3":
            return self._mp3_length(content), ""
        if self.file.format == "OGG":
            return frames, "no end-of-stream page" if ogg_is_truncated(content) else ""
        size = data_size(content)
        if size is not None and size.declared > size.present and frames > 0:
            return max(frames, self._samples_in(size.declared, size.present)), ""
        return (None if frames > UNKNOWN_LENGTH else frames), ""

    def _samples_in(self, declared: int, present: int) -> int:
        """Samples per channel in ``declared`` bytes; for a compressed format in proportion to those present."""
        size = BYTES_PER_SAMPLE.get(self.file.subtype)
        return declared // (size * self.channels) if size else self.file.frames * declared // max(present, 1)

    def _mp3_length(self, content: BinaryIO) -> int | None:
        length = mp3_length(content)
        if length.kind == "variable":
            raise VariableRateError(f"{self.name}: an MP3 of variable bit rate without a length header")
        return self.file.frames if length.kind == "declared" else None

    @property
    def num_samples(self) -> int:
        if self._declared is None:
            self._declared = sum(len(block) for block in self.blocks(0, None))
        return self._declared

    def blocks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        present = self.file.frames
        end = present if stop is None else min(stop, present)
        first = min(start, present)
        at = max(0, first - MP3_PREROLL) if self.file.format == "MP3" else first
        try:
            at = self._seek(at)
            while at < end:
                block = self.file.read(min(BLOCK_SAMPLES, end - at), dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                if at + len(block) > first:
                    yield block[max(0, first - at) :]
                at += len(block)
        except soundfile.LibsndfileError as error:
            raise truncated(self, at, str(error).removeprefix("Error : ").strip(" .")) from None
        expected = self._declared if stop is None else min(stop, self._declared or at)
        short = expected is not None and at + self.slack < expected
        if self.exact and (short or (self.defect and at >= present)):
            raise truncated(self, at, self.defect)

    def _seek(self, at: int) -> int:
        """Go to a sample, or to the beginning in a format without seeking (GSM 6.10). Return the new position."""
        if self.can_seek:
            self.file.seek(at)
            return at
        self.file.close()
        if not isinstance(self.content, (bytes, Path)):
            self.content.seek(0)
        self.file = SequentialFile(self.content)
        return 0

    def close(self) -> None:
        self.file.close()
