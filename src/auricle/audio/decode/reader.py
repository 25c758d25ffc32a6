"""Decode any audio file to float32 samples: the whole file, a span, or block by block.

    info = probe("metro.wav")                                   # rate, channels, num_samples, format, seconds
    clip = read("metro.wav", start=2.0, end=4.0, rate=16000)    # clip.wave: (S,) float32 in [-1, 1]
    for block in blocks("night.flac", seconds=60, rate=16000):  # (S,) each, in bounded memory

libsndfile decodes wav, flac, ogg, opus, mp3, aiff and more; PyAV, from the [media] extra, decodes the rest (m4a, mp4,
mkv, webm, …). ``file`` is a path, bytes, or a binary file object (one without seeking is read into memory first). A file
that cannot be used raises an AudioError whose message begins with the file's name.
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

from auricle.audio.decode.base import Decoder, MissingMediaError, TruncatedAudioError
from auricle.audio.decode.declared_length import data_size, opened_bytes
from auricle.audio.decode.libsndfile import SoundFileDecoder, VariableRateError
from auricle.audio.decode.pyav import PyAVDecoder
from auricle.audio.resample import Resampler, check_rate, recut_blocks, resample_blocks, trim_blocks
from auricle.core.errors import AudioError, AuricleError

File = str | os.PathLike | bytes | BinaryIO
Mono = Literal["mean", "first", "keep"] | int

CORE_SUFFIXES = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64")
)
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".wma", ".ac3", ".amr", ".3gp")
)
AUDIO_SUFFIXES = CORE_SUFFIXES | MEDIA_SUFFIXES  # in lower case; files with them are found in folders

FILTER_REACH = 256  # samples at the lower rate; beyond this soxr's HQ filter is below 1e-6


@dataclass(frozen=True)
class AudioInfo:
    """What a file declares: rate in hertz, channels, num_samples per channel, format such as "wav/pcm_16"."""

    rate: int
    channels: int
    num_samples: int
    format: str

    @property
    def seconds(self) -> float:
        return self.num_samples / self.rate


@dataclass(frozen=True)
class Decoded:
    """The decoded samples.

    Attributes:
        wave: (S,) float32, or (channels, S) for ``mono="keep"``.
        rate: hertz of ``wave``.
        start: seconds from the start of the file to the first sample.
        declared_samples: the file's length per channel at its own rate; None if it declares none (bare aac, mp3 without
            a length header).
        truncated: True if the data ended within the span (only with ``allow_truncated``).
    """

    wave: np.ndarray
    rate: int
    start: float
    declared_samples: int | None
    truncated: bool


@dataclass(frozen=True)
class Span:
    """Samples [first, stop) to decode at the file's rate; then, at ``rate``, skip ``skip`` and take ``count`` (None: all)."""

    rate: int
    first: int
    stop: int | None
    skip: int
    count: int | None


def probe(file: File) -> AudioInfo:
    """Return a file's rate, channels, length and format. Decodes only files that declare no length, to count samples.

    Raises:
        AudioError: for a file that is missing, empty, no audio, or without samples.
    """
    with opened(file) as decoder:
        if decoder.num_samples <= 0:
            raise AudioError(f"{decoder.name}: holds no samples")
        return AudioInfo(decoder.rate, decoder.channels, decoder.num_samples, decoder.format)


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
    """Decode a file or a span of it. A span has the samples of the whole file resampled and then cut, within 1e-6.

    Args:
        file: path, bytes or binary file object.
        start, end: seconds; an end past the file's end is the file's end.
        rate: hertz; None: the file's own.
        mono: "mean" of the channels, "first" or the number of one (0-based), or "keep" all.
        resampler: "soxr" or "sinc" (``audio/resample.py``).
        check: refuse NaN and infinite samples.
        allow_truncated: return what there is of a file that ends before its declared length.

    Raises:
        AudioError: with the file's name and what is wrong with it.
        AuricleError: for a wrong argument.
    """
    with opened(file) as decoder:
        span = _span(decoder, start, end, rate)
        parts: list[np.ndarray] = []
        truncated = False
        try:
            parts.extend(_blocks(decoder, span, mono, check, resampler))
        except TruncatedAudioError:
            truncated = True
            if not allow_truncated:
                raise
        if not parts:
            raise _no_samples(decoder, start)
        wave = np.concatenate(parts)
        declared = decoder.num_samples if decoder.exact else None
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
    """Yield the whole file in blocks of round(seconds * rate) samples, the last one shorter, in bounded memory.

    The blocks joined are bit for bit what ``read`` returns; the other arguments are those of ``read``.

    Raises:
        AudioError: for a broken file, after the blocks before the defect.
    """
    with opened(file) as decoder:
        span = _span(decoder, 0.0, None, rate)
        size = round(seconds * span.rate)
        if size < 1:
            raise AuricleError(f"a block needs at least one sample, not {seconds} s")
        empty = True
        for block in recut_blocks(_blocks(decoder, span, mono, check, resampler), size):
            empty = False
            yield np.ascontiguousarray(block.T) if mono == "keep" else block[:, 0]
        if empty:
            raise _no_samples(decoder, 0.0)


@contextmanager
def opened(file: File) -> Iterator[Decoder]:
    """Yield the file's decoder and close it at the end. I/O errors become AudioErrors."""
    name = _name(file)
    try:
        decoder = _decoder(_readable(file, name), name)
        try:
            yield decoder
        finally:
            decoder.close()
    except OSError as error:
        raise AudioError(f"{name}: {error.strerror or error}") from None


def _name(file: File) -> str:
    if isinstance(file, (str, os.PathLike)):
        return str(file)
    return str(getattr(file, "name", None) or "<audio in memory>")


def _readable(file: File, name: str) -> Path | BinaryIO:
    """Return the path of a regular file that is not empty, or a seekable binary file."""
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
        status = path.stat()
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # not allowed, too long, or it holds a NUL
        raise AudioError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(status.st_mode):
        unlisted = "" if os.access(path, os.R_OK | os.X_OK) else " that cannot be listed"
        raise AudioError(f"{name}: not a file{f' but a folder{unlisted}' if stat.S_ISDIR(status.st_mode) else ''}")
    if status.st_size == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    return path


def _decoder(file: Path | BinaryIO, name: str) -> Decoder:
    """Open with libsndfile, else with PyAV. Only formats of PyAV report that it is missing."""
    try:
        return SoundFileDecoder(file, name)
    except VariableRateError:
        return PyAVDecoder(_rewound(file), name)
    except (soundfile.LibsndfileError, TypeError) as error:
        refusal = str(error).rsplit(": ", 1)[-1].strip(" .").lower() or "format not recognised"
    _refuse_truncated(_rewound(file), name)
    try:
        return PyAVDecoder(_rewound(file), name)
    except MissingMediaError:
        if Path(name).suffix.lower() in MEDIA_SUFFIXES or not Path(name).suffix:
            raise
        raise AudioError(f"{name}: not audio that can be decoded ({refusal})") from None


def _refuse_truncated(file: Path | BinaryIO, name: str) -> None:
    """libsndfile refuses some truncated files that FFmpeg would read without an error."""
    with opened_bytes(file) as content:
        size = data_size(content)
    if size is not None and size.declared > size.present:
        raise AudioError(f"{name}: truncated: {size.present} of {size.declared} bytes of samples are there")


def _rewound(file: Path | BinaryIO) -> Path | BinaryIO:
    """Return the same file at its beginning, after checking that it still exists."""
    if isinstance(file, Path):
        return _regular(file, str(file))
    file.seek(0)
    return file


def _span(decoder: Decoder, start: float, end: float | None, rate: int | None) -> Span:
    """Convert seconds to samples. Resampled spans begin on a common multiple of both rates, with context for the filter."""
    if not (math.isfinite(start) and start >= 0 and (end is None or end > start)):
        raise AuricleError(f"{decoder.name}: a span needs 0 <= start < end in seconds, not {start} to {end}")
    native, wanted = decoder.rate, decoder.rate if rate is None else check_rate(rate)
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


def _blocks(decoder: Decoder, span: Span, mono: Mono, check: bool, resampler: Resampler) -> Iterator[np.ndarray]:
    """(n, channels) or (n, 1) blocks of the span at its rate."""
    mixed = (_mixed(block, mono, decoder) for block in _checked(decoder, span, check))
    channels = decoder.channels if mono == "keep" else 1
    return trim_blocks(resample_blocks(mixed, decoder.rate, span.rate, channels, resampler), span.skip, span.count)


def _checked(decoder: Decoder, span: Span, check: bool) -> Iterator[np.ndarray]:
    at = span.first
    for block in decoder.blocks(span.first, span.stop):
        if check and not np.isfinite(block).all():
            first = at + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise AudioError(
                f"{decoder.name}: holds NaN or infinite samples, the first at {first / decoder.rate:.3f} s; "
                "repair the file or leave it out"
            )
        at += len(block)
        yield block


def _mixed(block: np.ndarray, mono: Mono, decoder: Decoder) -> np.ndarray:
    """(n, channels) -> (n, channels) for "keep", else (n, 1)."""
    if mono == "keep":
        return block
    if mono == "mean":
        if decoder.channels == 1:
            return block
        return block @ np.full((decoder.channels, 1), 1.0 / decoder.channels, np.float32)
    channel = 0 if mono == "first" else mono
    if isinstance(channel, str) or not 0 <= channel < decoder.channels:
        raise AuricleError(
            f"{decoder.name}: mono is 'mean', 'first', 'keep' or a channel from 0 to {decoder.channels - 1}, not {mono!r}"
        )
    return block[:, channel : channel + 1]


def _no_samples(decoder: Decoder, start: float) -> AudioError:
    seconds = decoder.num_samples / decoder.rate
    if seconds and start >= seconds:
        return AudioError(f"{decoder.name}: the span starts at {start:.3f} s, but the file ends at {seconds:.3f} s")
    return AudioError(f"{decoder.name}: holds no samples" + (" at the rate asked for" if seconds else ""))
