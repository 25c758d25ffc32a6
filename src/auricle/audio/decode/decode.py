"""Sound in: any file to float32 samples, the whole, a span, or block by block.

    info = probe("metro.wav")                                   # rate, channels, num_samples, format, seconds
    clip = read("metro.wav", start=2.0, end=4.0, rate=16000)    # clip.wave: (S,) float32 in [-1, 1]
    for block in blocks("night.flac", seconds=60, rate=16000):  # (S,) each, in bounded memory

libsndfile decodes what it knows (wav, flac, ogg, opus, mp3, aiff, …), PyAV of the [media] extra the rest (m4a, mp4,
mkv, webm, …). ``file`` is a path, bytes, or a binary file object (one without seeking is read into memory first).
A file that cannot be used raises one AudioError whose message begins with its name.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from auricle.audio.decode.headers import binary, data_size
from auricle.audio.decode.media import MediaSource
from auricle.audio.decode.sound_file import SoundFileSource, VariableRateError
from auricle.audio.decode.source import Decoder, MissingMediaError, TruncatedAudioError
from auricle.audio.resample import Resampler, positive_rate
from auricle.audio.streams import recut, resampled, trimmed
from auricle.core.errors import AudioError, AuricleError

File = str | os.PathLike | bytes | BinaryIO
Mono = Literal["mean", "first", "keep"] | int

CORE_SUFFIXES = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64")
)
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".wma", ".ac3", ".amr", ".3gp")
)
AUDIO_SUFFIXES = CORE_SUFFIXES | MEDIA_SUFFIXES  # what is looked for in folders, in lower case

FILTER_REACH = 256  # samples at the lower rate; beyond this soxr's HQ filter is below 1e-6


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself: rate in hertz, channels, num_samples per channel, format such as "wav/pcm_16"."""

    rate: int
    channels: int
    num_samples: int
    format: str

    @property
    def seconds(self) -> float:
        return self.num_samples / self.rate


@dataclass(frozen=True)
class Decoded:
    """wave (S,) float32, or (channels, S) for ``mono="keep"``, at ``rate`` hertz; start in seconds within the file.

    declared_samples is the file's length per channel at its own rate, None where it declares none (bare aac, mp3
    without a length header); truncated: the data broke off within the span (only with ``allow_truncated``).
    """

    wave: np.ndarray
    rate: int
    start: float
    declared_samples: int | None
    truncated: bool


@dataclass(frozen=True)
class Span:
    """Samples to decode at the file's rate, [first, stop), and what to keep of them at the rate asked for."""

    rate: int
    first: int
    stop: int | None
    skip: int
    count: int | None


def probe(file: File) -> AudioInfo:
    """The declared facts of a file, without decoding it where it declares its length (else it is decoded and counted).

    Raises AudioError for a file that is no audio, is empty, holds no samples or is not there.
    """
    with opened(file) as source:
        if source.num_samples <= 0:
            raise AudioError(f"{source.name}: holds no samples")
        return AudioInfo(source.rate, source.channels, source.num_samples, source.format)


def read(
    file: File,
    *,
    start: float = 0.0,
    end: float | None = None,
    rate: int | None = None,
    mono: Mono = "mean",
    resampler: Resampler = "soxr",
    check: bool = True,
    allow_truncated: bool = False,
) -> Decoded:
    """Decode [start, end) seconds at ``rate`` hertz (None: the file's own); an end behind the file's is the file's.

    ``mono``: "mean" of the channels, "first" or the number of one (0-based), or "keep" all. A span is the same samples
    as the whole file resampled and then cut, within 1e-6. ``resampler``: "soxr" or "sinc" (``audio/resample.py``).
    ``check`` refuses NaN and infinite samples;
    ``allow_truncated`` gives what there is of a file that breaks off before its declared length.
    Raises AudioError naming the file and what is wrong with it; AuricleError for a wrong argument.
    """
    with opened(file) as source:
        span = _span(source, start, end, rate)
        pieces: list[np.ndarray] = []
        truncated = False
        try:
            pieces.extend(_pieces(source, span, mono, check, resampler))
        except TruncatedAudioError:
            truncated = True
            if not allow_truncated:
                raise
        if not pieces:
            raise _nothing(source, start)
        wave = np.concatenate(pieces)
        declared = source.num_samples if source.exact else None
    wave = np.ascontiguousarray(wave.T) if mono == "keep" else wave[:, 0]
    return Decoded(wave, span.rate, round(start * span.rate) / span.rate, declared, truncated)


def blocks(
    file: File,
    *,
    seconds: float = 60.0,
    rate: int | None = None,
    mono: Mono = "mean",
    resampler: Resampler = "soxr",
    check: bool = True,
) -> Iterator[np.ndarray]:
    """The whole file in consecutive waves of round(seconds * rate) samples, the last one shorter, in bounded memory.

    Joined they are bit for bit what ``read`` gives. A broken file raises AudioError where it breaks, after the blocks
    that came before.
    """
    with opened(file) as source:
        span = _span(source, 0.0, None, rate)
        size = round(seconds * span.rate)
        if size < 1:
            raise AuricleError(f"a block needs at least one sample, not {seconds} s")
        empty = True
        for block in recut(_pieces(source, span, mono, check, resampler), size):
            empty = False
            yield np.ascontiguousarray(block.T) if mono == "keep" else block[:, 0]
        if empty:
            raise _nothing(source, 0.0)


@contextmanager
def opened(file: File) -> Iterator[Decoder]:
    """The file's decoder, closed at the end. I/O errors on the way become AudioErrors."""
    name = _name(file)
    try:
        source = _decoder(_readable(file, name), name)
        try:
            yield source
        finally:
            source.close()
    except OSError as error:
        raise AudioError(f"{name}: {error.strerror or error}") from None


def _name(file: File) -> str:
    if isinstance(file, (str, os.PathLike)):
        return str(file)
    return str(getattr(file, "name", None) or "<audio in memory>")


def _readable(file: File, name: str) -> Path | BinaryIO:
    """A path to a regular file with something in it, or a seekable binary file."""
    if isinstance(file, (str, os.PathLike)):
        return _regular(Path(file), name)
    if isinstance(file, bytes) or not file.seekable():
        file = io.BytesIO(file if isinstance(file, bytes) else file.read())
    if file.seek(0, os.SEEK_END) == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    file.seek(0)
    return file


def _regular(path: Path, name: str) -> Path:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file") from None
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"{name}: not a file{' but a folder' if stat.S_ISDIR(found.st_mode) else ''}")
    if found.st_size == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    return path


def _decoder(file: Path | BinaryIO, name: str) -> Decoder:
    """libsndfile, else PyAV. Where PyAV is missing, only a format that needs it is told so."""
    try:
        return SoundFileSource(file, name)
    except VariableRateError:
        return MediaSource(_again(file), name)
    except (soundfile.LibsndfileError, TypeError) as error:
        refusal = str(error).rsplit(": ", 1)[-1].strip(" .").lower() or "format not recognised"
    _refuse_cut(_again(file), name)
    try:
        return MediaSource(_again(file), name)
    except MissingMediaError:
        if Path(name).suffix.lower() in MEDIA_SUFFIXES or not Path(name).suffix:
            raise
        raise AudioError(f"{name}: not audio that can be decoded ({refusal})") from None


def _refuse_cut(file: Path | BinaryIO, name: str) -> None:
    """libsndfile refuses some files only because they are cut short; FFmpeg would read them without a word."""
    with binary(file) as content:
        size = data_size(content)
    if size is not None and size.declared > size.present:
        raise AudioError(f"{name}: truncated: {size.present} of {size.declared} bytes of samples are there")


def _again(file: Path | BinaryIO) -> Path | BinaryIO:
    """The same file, at its beginning, and still there."""
    if isinstance(file, Path):
        return _regular(file, str(file))
    file.seek(0)
    return file


def _span(source: Decoder, start: float, end: float | None, rate: int | None) -> Span:
    """Seconds to samples. Resampled spans begin on a common multiple of both rates, with context for the filter."""
    if not (math.isfinite(start) and start >= 0 and (end is None or end > start)):
        raise AuricleError(f"{source.name}: a span needs 0 <= start < end in seconds, not {start} to {end}")
    native, wanted = source.rate, source.rate if rate is None else positive_rate(rate)
    first = round(start * wanted)
    count = None if end is None or math.isinf(end) else round(end * wanted) - first
    if native == wanted:
        return Span(wanted, first, None if count is None else first + count, 0, count)
    reach = FILTER_REACH * max(1.0, wanted / native)
    common = math.gcd(native, wanted)
    periods = max(0, int((first - reach) / wanted * common))  # both rates meet ``common`` times a second
    skip = first - periods * (wanted // common)
    stop = None if count is None else math.ceil((first + count + reach) * native / wanted)
    return Span(wanted, periods * (native // common), stop, skip, count)


def _pieces(source: Decoder, span: Span, mono: Mono, check: bool, resampler: Resampler) -> Iterator[np.ndarray]:
    """(n, channels) or (n, 1) blocks of the span at its rate."""
    mixed = (_mixed(chunk, mono, source) for chunk in _checked(source, span, check))
    channels = source.channels if mono == "keep" else 1
    return trimmed(resampled(mixed, source.rate, span.rate, channels, resampler), span.skip, span.count)


def _checked(source: Decoder, span: Span, check: bool) -> Iterator[np.ndarray]:
    at = span.first
    for chunk in source.chunks(span.first, span.stop):
        if check and not np.isfinite(chunk).all():
            first = at + int(np.flatnonzero(~np.isfinite(chunk).all(axis=1))[0])
            raise AudioError(
                f"{source.name}: holds NaN or infinite samples, the first at {first / source.rate:.3f} s; "
                "repair the file or leave it out"
            )
        at += len(chunk)
        yield chunk


def _mixed(chunk: np.ndarray, mono: Mono, source: Decoder) -> np.ndarray:
    """(n, channels) -> the mono policy's channels."""
    if mono == "keep":
        return chunk
    if mono == "mean":
        if source.channels == 1:
            return chunk
        return chunk @ np.full((source.channels, 1), 1.0 / source.channels, np.float32)
    channel = 0 if mono == "first" else mono
    if isinstance(channel, str) or not 0 <= channel < source.channels:
        raise AuricleError(
            f"{source.name}: mono is 'mean', 'first', 'keep' or a channel from 0 to {source.channels - 1}, not {mono!r}"
        )
    return chunk[:, channel : channel + 1]


def _nothing(source: Decoder, start: float) -> AudioError:
    seconds = source.num_samples / source.rate
    if seconds and start >= seconds:
        return AudioError(f"{source.name}: the span starts at {start:.3f} s, but the file ends at {seconds:.3f} s")
    return AudioError(f"{source.name}: holds no samples" + (" at the rate asked for" if seconds else ""))
