"""The decoder on libsndfile: wav (also RF64, W64), flac, ogg, opus, mp3, aiff, au, caf and other formats it knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from auricle.audio.decode.base import BLOCK_SAMPLES, TruncatedAudioError, truncated
from auricle.audio.decode.declared_length import FilePart
from auricle.audio.decode.joined import BytesInMemory, SplicedFile
from auricle.core.errors import AudioError

BYTES_PER_SAMPLE = {
    "PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1,
}  # fmt: skip
UNKNOWN_LENGTH = 1 << 60  # libsndfile gives 2^63 - 1 for a FLAC stream of unknown length
MP3_PREROLL = 16 * 1152  # a frame may need bits of many frames before it; straight after a seek it would be silent
MOST_MISSING = 1000  # times the bytes that are there; a header that promises more is not asked for a length
SMALL_BLOCK = 256  # samples read at once where decoding has failed
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
    """A ``Decoder`` on libsndfile. Raises soundfile.LibsndfileError for formats that it does not know.

    Args:
        file: what is decoded: a file, or a part of one.
        name: the file's name, for messages.
        part: what is known of its length.
    """

    def __init__(self, file: Path | BytesInMemory | SplicedFile, name: str, part: FilePart):
        if part.length == "variable":
            raise VariableRateError(f"{name}: an MP3 of variable bit rate without a length header")
        self.name = name
        self.content = os.fsencode(file) if isinstance(file, Path) and os.name == "posix" else file
        self.file = SequentialFile(self.content)
        self.can_seek = super(SequentialFile, self.file).seekable()
        self.rate, self.channels = self.file.samplerate, self.file.channels
        self.format = f"{self.file.format}/{self.file.subtype}".lower()
        if self.file.format == "RAW":  # libsndfile decodes any file named .au or .snd as telephone audio
            self.close()
            raise AudioError(f"{name}: not audio that can be decoded (no header that says its rate and format)")
        self.notes: tuple[str, ...] = ()
        self.slack = MP3_SLACK if self.file.format == "MP3" else 0
        self.defect = part.defect
        self._declared: int | None = None
        self.exact = False
        try:
            self._declared = self._declared_length(part)
        except TruncatedAudioError:
            self.close()
            raise
        self.exact = self._declared is not None

    def _declared_length(self, part: FilePart) -> int | None:
        """Samples the file declares, or None."""
        frames = self.file.frames
        if (part.length == "open" and self.file.format == "MP3") or frames > UNKNOWN_LENGTH:
            return None
        if part.missing is not None and frames > 0:
            declared, present = part.missing
            if declared > MOST_MISSING * present:
                raise truncated(self, frames, f"{present} of {declared} declared bytes are there")
            size = BYTES_PER_SAMPLE.get(self.file.subtype)  # a compressed format: in proportion
            return max(frames, declared // (size * self.channels) if size else frames * declared // max(present, 1))
        return frames

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
        size = BLOCK_SAMPLES * 8 // max(8, self.channels)
        at = self._seek(at)
        while at < end:
            try:
                block = self.file.read(min(size, end - at), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if size <= SMALL_BLOCK or not self.can_seek:
                    raise truncated(self, at, str(error).removeprefix("Error : ").strip(" .")) from None
                size = SMALL_BLOCK  # the error costs the whole block: read what is good before it
                self._reopen()
                self._seek(at)
                continue
            if len(block) == 0:
                break
            if at + len(block) > first:
                yield block[max(0, first - at) :]
            at += len(block)
        if isinstance(self.content, SplicedFile):
            self.content.check()
        if self.defect and (stop is None or at < stop):
            raise truncated(self, at, self.defect)
        expected = self._declared if stop is None else min(stop, self._declared or at)
        if self.exact and expected is not None and at + self.slack < expected:
            raise truncated(self, at)

    def _seek(self, at: int) -> int:
        """Go to a sample, or to the beginning in a format without seeking (GSM 6.10). Return the new position."""
        if self.can_seek:
            self.file.seek(at)
            return at
        self._reopen()
        return 0

    def _reopen(self) -> None:
        self.file.close()
        if isinstance(self.content, (BytesInMemory, SplicedFile)):
            self.content.seek(0)
        self.file = SequentialFile(self.content)

    def close(self) -> None:
        self.file.close()
        if isinstance(self.content, SplicedFile):
            self.content.close()
