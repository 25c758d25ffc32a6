"""Decode any audio file to float32 samples: the whole file, a span, or block by block.

    info = probe("metro.wav")                                   # rate, channels, num_samples, format, seconds
    clip = read("metro.wav", start=2.0, end=4.0, rate=16000)    # clip.wave: (S,) float32 in [-1, 1]
    for block in blocks("night.flac", seconds=60, rate=16000):  # (S,) each, in bounded memory

libsndfile decodes wav, flac, ogg, opus, mp3, aiff and more; PyAV, from the [media] extra, decodes the rest (m4a, mp4,
mkv, webm, …). ``file`` is a path, bytes, or a binary file object (one without seeking is read into memory first). A file
that cannot be used raises an AudioError whose message begins with the file's name, whatever the library below raised. What
is unusual about a file that is read all the same becomes an ``AudioNote``.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from auricle.audio.decode.base import AudioNote, Decoder, Levels, MissingMediaError, TruncatedAudioError
from auricle.audio.decode.declared_length import FilePart, Layout, layout_of
from auricle.audio.decode.joined import BytesInMemory, JoinedDecoder, SplicedFile
from auricle.audio.decode.libsndfile import SoundFileDecoder, VariableRateError
from auricle.audio.decode.pyav import PyAVDecoder
from auricle.audio.resample import (
    MAX_RATE,
    MIN_RATE,
    Resampler,
    check_rate,
    recut_blocks,
    resample_blocks,
    trim_blocks,
)
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import path_of

File = str | os.PathLike | bytes | BinaryIO
Mono = Literal["mean", "first", "keep"] | int

CORE_SUFFIXES = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64")
)
MEDIA_SUFFIXES = frozenset(
    (".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv", ".mka", ".webm", ".wma", ".ac3", ".amr", ".3gp")
)
AUDIO_SUFFIXES = CORE_SUFFIXES | MEDIA_SUFFIXES  # in lower case; files with them are found in folders

MAX_CHANNELS = 1024  # libsndfile's limit
MAX_SAMPLES_PER_BYTE = 8192  # the sparsest format, FLAC of silence, has 65535 samples in about 14 bytes
FILTER_REACH = 256  # samples at the lower rate; beyond this soxr's HQ filter is below 1e-6


@dataclass(frozen=True)
class AudioInfo:
    """What a file declares: rate in hertz, channels, num_samples per channel, format such as "wav/pcm_16"; notes on its header."""

    rate: int
    channels: int
    num_samples: int
    format: str
    notes: tuple[AudioNote, ...] = ()

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
        notes: what is unusual about the file.
    """

    wave: np.ndarray
    rate: int
    start: float
    declared_samples: int | None
    truncated: bool
    notes: tuple[AudioNote, ...] = ()


@dataclass(frozen=True)
class SampleSpan:
    """Samples [first, stop) to decode at the file's rate; then, at ``rate``, skip ``skip`` and take ``count`` (None: all)."""

    rate: int
    first: int
    stop: int | None
    skip: int
    count: int | None


def probe(file: File, *, strict: bool = False) -> AudioInfo:
    """Return a file's rate, channels, length and format. Decodes only files that declare no length, to count samples.

    Args:
        file: path, bytes or binary file object.
        strict: refuse a file whose header does not declare the length of what is there.

    Raises:
        AudioError: for a file that is missing, empty, no audio, or without samples.
    """
    with opened(file, strict) as (decoder, notes):
        if decoder.num_samples <= 0:
            raise AudioError(f"{decoder.name}: holds no samples")
        return AudioInfo(decoder.rate, decoder.channels, decoder.num_samples, decoder.format, notes)


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
    strict: bool = False,
) -> Decoded:
    """Decode a file or a span of it. A span has the samples of the whole file resampled and then cut, within 1e-6.

    Args:
        file: path, bytes or binary file object.
        start, end: seconds; an end past the file's end is the file's end.
        rate: hertz; None: the file's own.
        mono: "mean" of the channels, "first" or the number of one (0-based), or "keep" all.
        resampler: "soxr" or "sinc" (``audio/resample.py``).
        check: refuse NaN, infinite and absurd samples (above 2^32), and note unusual levels.
        allow_truncated: return what there is of a file that ends before its declared length.
        strict: refuse a file whose header does not declare the length of what is there, such as one that a recorder never
            finished.

    Raises:
        AudioError: with the file's name and what is wrong with it.
        AuricleError: for a wrong argument.
    """
    with opened(file, strict) as (decoder, header_notes):
        span, notes = _span(decoder, start, end, rate), list(header_notes)
        parts: list[np.ndarray] = []
        truncated = False
        try:
            parts.extend(_blocks(decoder, span, mono, check, resampler, notes))
        except TruncatedAudioError:
            truncated = True
            if not allow_truncated:
                raise
        if not parts:
            raise _no_samples(decoder, start)
        wave = np.concatenate(parts)
        declared = decoder.num_samples if decoder.exact else None
    wave = np.ascontiguousarray(wave.T) if mono == "keep" else wave[:, 0]
    return Decoded(wave, span.rate, round(start * span.rate) / span.rate, declared, truncated, tuple(notes))


def blocks(
    file: File,
    *,
    seconds: float = 60.0,
    rate: int | None = None,
    mono: Mono = "mean",
    resampler: Resampler = "soxr",
    check: bool = True,
    strict: bool = False,
    notes: list[AudioNote] | None = None,
) -> Iterator[np.ndarray]:
    """Yield the whole file in blocks of round(seconds * rate) samples, the last one shorter, in bounded memory.

    The blocks joined are bit for bit what ``read`` returns; the other arguments are those of ``read``. What is unusual
    about the file is appended to ``notes``, what its samples tell with the last block.

    Raises:
        AudioError: for a broken file, after the blocks before the defect.
    """
    with opened(file, strict) as (decoder, header_notes):
        notes = [] if notes is None else notes
        notes.extend(header_notes)
        span = _span(decoder, 0.0, None, rate)
        size = round(seconds * span.rate)
        if size < 1:
            raise AuricleError(f"a block needs at least one sample, not {seconds} s")
        empty = True
        for block in recut_blocks(_blocks(decoder, span, mono, check, resampler, notes), size):
            empty = False
            yield np.ascontiguousarray(block.T) if mono == "keep" else block[:, 0]
        if empty:
            raise _no_samples(decoder, 0.0)


@contextmanager
def opened(file: File, strict: bool = False) -> Iterator[tuple[Decoder, tuple[AudioNote, ...]]]:
    """Yield the file's decoder, with notes on its header, and close it at the end.

    Libraries may raise anything; whatever they raise becomes an AudioError.
    """
    name = _name(file)
    try:
        content = _readable(file, name)
        with _opened_bytes(content) as raw:
            layout = layout_of(raw)
            size = raw.seek(0, os.SEEK_END)
        decoder = _decoder(content, name, layout, size)
        try:
            _check_promises(decoder, size)
            notes = (*layout.notes, *decoder.notes)
            if strict and notes:
                raise AudioError(f"{name}: {notes[0]}; --strict (strict=True) refuses such files")
            yield decoder, tuple(AudioNote("header", f"{name}: {note}") for note in notes)
        finally:
            decoder.close()
    except AuricleError:
        raise
    except MemoryError:
        raise AudioError(f"{name}: decoding needs more memory than there is; read it in windows or blocks") from None
    except OSError as error:
        raise AudioError(f"{name}: {error.strerror or error}") from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise AudioError(f"{name}: the decoder failed ({reason}); convert the file, or leave it out") from error


@contextmanager
def _opened_bytes(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Yield the file for reading, beside the decoder. A file object gets its position back."""
    if isinstance(file, Path):
        with open(file, "rb") as opened:
            yield opened
        return
    at = file.tell()
    yield file
    file.seek(at)


def _check_promises(decoder: Decoder, size: int) -> None:
    """Raise AudioError for a header that declares what a file of ``size`` bytes cannot hold."""
    if not MIN_RATE <= decoder.rate <= MAX_RATE:
        raise AudioError(
            f"{decoder.name}: declares a sample rate of {decoder.rate} Hz, expected {MIN_RATE} to {MAX_RATE}; "
            "correct its header"
        )
    if not 1 <= decoder.channels <= MAX_CHANNELS:
        raise AudioError(f"{decoder.name}: declares {decoder.channels} channels, expected 1 to {MAX_CHANNELS}")
    if decoder.exact and decoder.num_samples > MAX_SAMPLES_PER_BYTE * size:
        seconds = decoder.num_samples / decoder.rate
        raise AudioError(
            f"{decoder.name}: truncated or damaged: declares {seconds:.3g} s, more than its {size} bytes can hold; "
            "get the file again"
        )


def _name(file: File) -> str:
    if isinstance(file, (str, os.PathLike)):
        return os.fsdecode(file)
    return str(getattr(file, "name", None) or "<audio in memory>")


def _readable(file: File, name: str) -> Path | BinaryIO:
    """Return the path of a regular file that is not empty, or a seekable binary file."""
    if isinstance(file, (str, os.PathLike)):
        return _regular(path_of(file), name)
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


def _decoder(file: Path | BinaryIO, name: str, layout: Layout, size: int) -> Decoder:
    """The decoder of a file of ``size`` bytes: of its only part, or of all its parts one after the other."""
    openers = [partial(_part_decoder, file, name, part, size) for part in layout.parts]
    return openers[0]() if len(openers) == 1 else JoinedDecoder(name, openers)


def _part_decoder(file: Path | BinaryIO, name: str, part: FilePart, size: int) -> Decoder:
    """Open with libsndfile, else with PyAV. Only formats of PyAV report that it is missing."""
    try:
        return SoundFileDecoder(_content(file, part, size), name, part)
    except VariableRateError:
        return PyAVDecoder(_content(file, part, size), name, part)
    except (soundfile.LibsndfileError, TypeError) as error:
        refusal = str(error).rsplit(": ", 1)[-1].strip(" .").lower() or "format not recognised"
    if isinstance(file, Path):
        _regular(file, str(file))
    if part.missing is not None:  # FFmpeg would read it to its end without an error
        reason = part.defect or "{1} of {0} bytes of samples are there".format(*part.missing)
        raise TruncatedAudioError(f"{name}: truncated or damaged: {reason}; get the file again")
    try:
        return PyAVDecoder(_content(file, part, size), name, part)
    except MissingMediaError:
        if Path(name).suffix.lower() in MEDIA_SUFFIXES or not Path(name).suffix:
            raise
        raise AudioError(f"{name}: not audio that can be decoded ({refusal})") from None


def _content(file: Path | BinaryIO, part: FilePart, size: int) -> Path | BytesInMemory | SplicedFile:
    """What a decoder opens: a path, or bytes in memory, that are one part; else the bytes of the part."""
    whole = not part.start and not part.head and part.stop >= size
    if whole and isinstance(file, Path):
        return file
    if whole and isinstance(file, io.BytesIO):  # a SplicedFile takes longer: MP3 is read in hundreds of small steps
        return BytesInMemory(file.getvalue())
    return SplicedFile(file, part.start, part.stop, part.head)


def _span(decoder: Decoder, start: float, end: float | None, rate: int | None) -> SampleSpan:
    """Convert seconds to samples. Resampled spans begin on a common multiple of both rates, with context for the filter."""
    if not (math.isfinite(start) and start >= 0 and (end is None or end > start)):
        raise AuricleError(f"{decoder.name}: a span needs 0 <= start < end in seconds, not {start} to {end}")
    native, wanted = decoder.rate, decoder.rate if rate is None else check_rate(rate)
    first = round(start * wanted)
    count = None if end is None or math.isinf(end) else round(end * wanted) - first
    if native == wanted:
        return SampleSpan(wanted, first, None if count is None else first + count, 0, count)
    reach = FILTER_REACH * max(1.0, wanted / native)
    common = math.gcd(native, wanted)
    periods = max(0, int((first - reach) / wanted * common))  # both rates meet ``common`` times a second
    skip = first - periods * (wanted // common)
    stop = None if count is None else math.ceil((first + count + reach) * native / wanted)
    return SampleSpan(wanted, periods * (native // common), stop, skip, count)


def _blocks(
    decoder: Decoder, span: SampleSpan, mono: Mono, check: bool, resampler: Resampler, notes: list[AudioNote]
) -> Iterator[np.ndarray]:
    """(n, channels) or (n, 1) blocks of the span at its rate."""
    samples = _checked(decoder, span, notes) if check else decoder.blocks(span.first, span.stop)
    mixed = (_mixed(block, mono, decoder) for block in samples)
    channels = decoder.channels if mono == "keep" else 1
    return trim_blocks(resample_blocks(mixed, decoder.rate, span.rate, channels, resampler), span.skip, span.count)


def _checked(decoder: Decoder, span: SampleSpan, notes: list[AudioNote]) -> Iterator[np.ndarray]:
    levels = Levels(decoder.name, decoder.rate, span.first)
    for block in decoder.blocks(span.first, span.stop):
        levels.add(block)
        yield block
    notes.extend(levels.notes(whole=span.first == 0 and span.stop is None))


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
