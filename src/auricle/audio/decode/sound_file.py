"""Decoding with libsndfile: wav (also RF64, W64), flac, ogg, opus, mp3, aiff, au, caf and other formats it knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from auricle.audio.decode.headers import binary, data_size, layout, ogg_is_cut
from auricle.audio.decode.source import CHUNK, breaks_off
from auricle.core.errors import AudioError

BYTES_PER_SAMPLE = {
    "PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1,
}  # fmt: skip
UNKNOWN_LENGTH = 1 << 60  # libsndfile gives 2^63 - 1 for a FLAC stream of unknown length
MP3_PREROLL = 16 * 1152  # a frame may need bits of many frames before it; straight after a seek it would be silent
MP3_SLACK = 1152  # old encoders count the frame of the length header too


class VariableRateError(AudioError):
    """An MP3 of variable bit rate without a length header: libsndfile would stop at a guess."""


class StraightFile(soundfile.SoundFile):
    """A SoundFile that reads on without seeking.

    soundfile seeks after each read of a file that says it can be sought. In an MP3 that loses the bits that the next
    frames borrow from earlier ones (they come out silent), and at the end of a FLAC of unknown length it is an error.
    """

    def seekable(self) -> bool:
        return False


class SoundFileSource:
    """A Source over libsndfile. Raises soundfile.LibsndfileError when the format is not one of its own."""

    def __init__(self, file: Path | BinaryIO, name: str):
        self.name = name
        self.content = os.fsencode(file) if isinstance(file, Path) and os.name == "posix" else file
        self.file = StraightFile(self.content)
        self.can_seek = super(StraightFile, self.file).seekable()
        self.rate, self.channels = self.file.samplerate, self.file.channels
        self.format = f"{self.file.format}/{self.file.subtype}".lower()
        if self.file.format == "RAW":  # libsndfile takes any file named .au or .snd for telephone sound
            self.close()
            raise AudioError(f"{name}: not audio that can be decoded (no header that says its rate and format)")
        self.slack = MP3_SLACK if self.file.format == "MP3" else 0
        try:
            with binary(file) as content:
                self._declared, self.cut = self._declaration(content)
        except BaseException:
            self.close()
            raise
        self.exact = self._declared is not None

    def _declaration(self, content: BinaryIO) -> tuple[int | None, str]:
        """(samples the file declares or None, why it is known to be cut short or "")."""
        frames = self.file.frames
        if self.file.format == "MP3":
            return self._mp3_declaration(content), ""
        if self.file.format == "OGG":
            return frames, "no end-of-stream page" if ogg_is_cut(content) else ""
        size = data_size(content)
        if size is not None and size.declared > size.present and frames > 0:
            return max(frames, self._samples_in(size.declared, size.present)), ""
        return (None if frames > UNKNOWN_LENGTH else frames), ""

    def _samples_in(self, declared: int, present: int) -> int:
        """Samples per channel in ``declared`` bytes; of a packed format by proportion."""
        width = BYTES_PER_SAMPLE.get(self.file.subtype)
        return declared // (width * self.channels) if width else self.file.frames * declared // max(present, 1)

    def _mp3_declaration(self, content: BinaryIO) -> int | None:
        found = layout(content)
        if found.kind == "variable":
            raise VariableRateError(f"{self.name}: an MP3 of variable bit rate without a length header")
        return self.file.frames if found.kind == "declared" else None

    @property
    def num_samples(self) -> int:
        if self._declared is None:
            self._declared = sum(len(chunk) for chunk in self.chunks(0, None))
        return self._declared

    def chunks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        there = self.file.frames
        end = there if stop is None else min(stop, there)
        first = min(start, there)
        at = max(0, first - MP3_PREROLL) if self.file.format == "MP3" else first
        try:
            at = self._moved_to(at)
            while at < end:
                block = self.file.read(min(CHUNK, end - at), dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                if at + len(block) > first:
                    yield block[max(0, first - at) :]
                at += len(block)
        except soundfile.LibsndfileError as error:
            raise breaks_off(self, at, str(error).removeprefix("Error : ").strip(" .")) from None
        wanted = self._declared if stop is None else min(stop, self._declared or at)
        short = wanted is not None and at + self.slack < wanted
        if self.exact and (short or (self.cut and at >= there)):
            raise breaks_off(self, at, self.cut)

    def _moved_to(self, at: int) -> int:
        """Go to a sample, or, in a format that libsndfile cannot seek in (GSM 6.10), to the beginning; where it is now."""
        if self.can_seek:
            self.file.seek(at)
            return at
        self.file.close()
        if not isinstance(self.content, (bytes, Path)):
            self.content.seek(0)
        self.file = StraightFile(self.content)
        return 0

    def close(self) -> None:
        self.file.close()
