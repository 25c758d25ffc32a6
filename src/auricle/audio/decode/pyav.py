"""The decoder on PyAV, FFmpeg's libraries ([media] extra): m4a, aac, mp4, mkv, webm and what libsndfile refuses.

In containers with an index (mp4, m4a, mkv, webm) a span begins with a seek, which stops too early; the time stamps of
the frames say how much to drop. Matroska and WebM count milliseconds, so their spans start within half a millisecond of
the position asked for. AAC and Opus decoders depend on earlier frames, and AAC fills bands with random noise, so a span
of a lossy file may differ from the same part of the whole file by some thousandths. Bare streams (aac, ac3, mp3) have no
time stamps and are decoded from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.decode.base import BLOCK_SAMPLES, MissingMediaError, truncated
from auricle.audio.decode.declared_length import FilePart
from auricle.audio.decode.joined import BytesInMemory, SplicedFile
from auricle.audio.resample import recut_blocks
from auricle.core.errors import AudioError

INDEXED = ("mov", "matroska")  # first names of the containers with an index
DECLARING = (*INDEXED, "asf", "flv", "ape", "tta", "wv", "tak", "dsf", "caf")  # of those that declare a length
PREROLL_SECONDS = 0.5  # decoded and dropped after a seek: Opus needs 0.08 s, AAC one frame of 1024 samples
SLACK_SECONDS = 0.1  # decoders drop some samples at the beginning
ROUNDING_SECONDS = 0.01  # containers round lengths
LOSSLESS = ("pcm", "flac", "alac", "wavpack", "tta", "ape")  # codecs without samples that are dropped
JUNK_BYTES = 64  # behind the last frame, in which there is none
# Formats that list other files (playlists, concat) are left out: an audio file must not open another file.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,eac3,asf,avi,flv,mpegts,mpeg,amr,ape,wv,tta,dts,mp3,wav,w64,aiff,au,"
    "caf,flac,ogg,tak,shorten,dsf"
)


def tag_options(version: str) -> dict[str, str]:
    """Return the arguments of ``av.open`` for tags that are not UTF-8. PyAV 19 reads them without, and has no such argument."""
    return {"metadata_errors": "replace"} if int(version.split(".")[0]) < 19 else {}


class PyAVDecoder:
    """A ``Decoder`` on FFmpeg. Raises AudioError for a file that FFmpeg refuses or that holds no audio."""

    def __init__(self, file: Path | BytesInMemory | SplicedFile, name: str, part: FilePart):
        self.name, self.defect = name, part.defect
        self.av, self.content = _pyav(name), file
        self.container = self._open(file)
        try:
            self.stream = self._audio_stream()
            self.rate, self.channels = self.stream.rate, self.stream.channels
            self.slack = round(SLACK_SECONDS * self.rate)
            self.family = self.container.format.name.split(",")[0]
            self.format = f"{self.family}/{self.stream.codec_context.name}"
            self.notes = self._wrong_duration()
            timed = self.stream.duration is not None and self.stream.time_base == Fraction(1, self.rate)
            self.exact = self.family == "mov" and timed and not self.notes
        except BaseException:
            self.close()
            raise

    def _open(self, file: Path | BytesInMemory | SplicedFile) -> Any:
        try:
            source = str(file.absolute()) if isinstance(file, Path) else file
            return self.av.open(source, options={"format_whitelist": FORMATS}, **tag_options(self.av.__version__))
        except (self.av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioError(f"{self.name}: not audio that can be decoded ({reason})") from None

    def _audio_stream(self) -> Any:
        """The first audio stream. By its name FFmpeg may take a text file for a bare stream, but it finds no rate in it."""
        streams = self.container.streams.audio
        if not streams:
            raise AudioError(f"{self.name}: holds no audio ({self.container.format.name})")
        if streams[0].codec_context is None:
            raise AudioError(f"{self.name}: not audio that can be decoded (a codec or sample format that is unknown)")
        if not (streams[0].rate and streams[0].channels):
            raise AudioError(f"{self.name}: not audio that can be decoded (no sample rate found)")
        return streams[0]

    def _wrong_duration(self) -> tuple[str, ...]:
        """Say that a duration is shorter than all packets: FFmpeg takes it as it is, whatever lies behind it."""
        frame, declared = self.stream.codec_context.frame_size or 0, self.stream.duration
        if self.family != "mov" or frame < 2 or declared is None:
            return ()
        seconds, present = float(declared * self.stream.time_base), self.stream.frames * frame / self.rate
        if present <= seconds + 4 * frame / self.rate + SLACK_SECONDS:
            return ()
        return (f"its header declares {seconds:.3f} s, but {present:.3f} s follow; all were read",)

    @cached_property
    def num_samples(self) -> int:
        """Declared (m4a, mp4: exact; Matroska: rounded to milliseconds), else counted by decoding."""
        if self.family == "mov" and self.stream.duration is not None and not self.notes:
            return round(self.stream.duration * self.stream.time_base * self.rate)
        if self.family == "matroska" and self.container.duration and len(self.container.streams) == 1:
            return round(self.container.duration * self.rate / self.av.time_base)
        total = sum(len(block) for block in self.blocks(0, None))
        self.container.seek(0)
        return total

    def blocks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        if self.exact:
            stop = self.num_samples if stop is None else min(stop, self.num_samples)
        return recut_blocks(self._span(start, stop), BLOCK_SAMPLES)

    def _span(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        """The decoded frames, cut to [start, stop)."""
        at = None if self._seek(start) else 0
        for index, (pts, samples) in enumerate(self._frames(at or 0)):
            if at is None:
                stamped = round((pts - self._origin) * self.stream.time_base * self.rate)
                if index == 0 and stamped + len(samples) <= start:
                    continue  # the first frame after a seek may be shortened, and its time stamp rounded twice
                at = stamped
            wanted = samples[max(0, start - at) : None if stop is None else max(0, stop - at)]
            if len(wanted):
                yield wanted
            at += len(samples)
            if stop is not None and at >= stop:
                return
        if self._ended_early(at or 0, stop):
            raise truncated(self, at or 0, self.defect)

    @property
    def _origin(self) -> int:
        return self.stream.start_time or 0

    def _seek(self, start: int) -> bool:
        """Seek to ``start`` or before it. Return False if decoding begins at the beginning instead."""
        seconds = start / self.rate - PREROLL_SECONDS
        if self.family not in INDEXED or seconds <= 0:
            return False
        self.container.seek(self._origin + int(seconds / self.stream.time_base), stream=self.stream)
        return True

    def _frames(self, position: int) -> Iterator[tuple[int, np.ndarray]]:
        """(time stamp, (n, channels) float32) of each decoded frame; ``position`` is that of the first, for messages."""
        self.furthest, self.largest, self.position = Fraction(0), 0, position
        junk: Exception | None = None
        for packet in self._packets():
            try:
                frames = self.stream.decode(packet)
            except self.av.error.FFmpegError as error:
                if junk is not None or not _is_junk(packet):
                    raise truncated(self, self.position, error.strerror) from None
                junk = error
                continue
            if frames and packet is not None and junk is not None:  # it was no junk at the end, but damage
                raise truncated(self, self.position, str(junk))
            for frame in frames:
                samples = self._samples(frame)
                self.position += len(samples)
                self.largest = max(self.largest, len(samples))
                yield frame.pts or 0, samples

    def _packets(self) -> Iterator[Any]:
        """The packets of the audio, then None. What follows the declared end need not be audio."""
        try:
            for packet in self.container.demux():
                if packet.pts is not None and packet.time_base:
                    self.furthest = max(self.furthest, (packet.pts + (packet.duration or 0)) * packet.time_base)
                if packet.stream.index == self.stream.index and packet.size:
                    yield packet
        except self.av.error.FFmpegError as error:
            duration = self.stream.duration
            end = None if duration is None or self.family not in DECLARING else float(duration * self.stream.time_base)
            if end is None or float(self.furthest) + ROUNDING_SECONDS < end:
                raise truncated(self, self.position, error.strerror) from None
        yield None

    def _samples(self, frame: Any) -> np.ndarray:
        """(n, channels) float32 in [-1, 1] of a frame in any of FFmpeg's sample formats."""
        if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
            raise AudioError(f"{self.name}: changes its sample rate or channels midway; convert it to one of each")
        values = frame.to_ndarray()
        values = values.T if frame.format.is_planar else values.reshape(-1, self.channels)
        if values.dtype.kind == "f":
            return values.astype(np.float32, copy=False)
        zero = 128 if values.dtype.kind == "u" else 0
        return (values.astype(np.float32) - zero) / float(1 << (8 * values.dtype.itemsize - 1))

    def _ended_early(self, at: int, stop: int | None) -> bool:
        """Return True if the file ended before the declared length, or before the span's end if that is less."""
        if self.defect:
            return True
        if self.exact and at + self.slack < (self.num_samples if stop is None else stop):
            return True
        if self.family not in DECLARING or not self.container.duration or self.notes:
            return False
        codec = self.stream.codec_context.name
        exact = self.exact or codec.startswith(LOSSLESS)  # else the duration may hold a frame that decoders drop
        tolerance = ROUNDING_SECONDS + (0 if exact else self.largest / self.rate)
        return float(self.furthest) + tolerance < self.container.duration / self.av.time_base

    def close(self) -> None:
        self.container.close()
        if isinstance(self.content, SplicedFile):
            self.content.close()


def _is_junk(packet: Any) -> bool:
    """Whether a packet that cannot be decoded is too small for a frame, or zeros."""
    content = b"" if packet is None else bytes(packet)
    return len(content) <= JUNK_BYTES or content.count(0) == len(content)


def _pyav(name: str) -> Any:
    """Import the package. Raises MissingMediaError with the file's name and the install command."""
    try:
        import av
        import av.error
    except ImportError:
        raise MissingMediaError(f"{name}: decoding this format", "media") from None
    return av
