"""Which recordings are meant: files, folders, bytes and waveforms, as sources that can be read."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES, blocks, read
from auricle.audio.resample import Resampler, check_rate, resample
from auricle.core.errors import AudioError, AuricleError

BLOCK_SECONDS = 30.0  # decoded at a time


@dataclass(frozen=True, eq=False)
class AudioSource:
    """A recording, or a part of one.

    Attributes:
        name: what results and messages call it.
        content: a file, the bytes of one, or samples (S,) or (channels, S) at ``sample_rate`` hertz.
        place: relative path of what is written about it.
        start, end: seconds of the recording; an end of None is the recording's.
        seconds: cut or zero-pad to this length; None: as it is.
    """

    name: str
    content: Path | bytes | np.ndarray
    place: str = ""
    start: float = 0.0
    end: float | None = None
    seconds: float | None = None
    sample_rate: int = 0

    def blocks(self, rate: int, resampler: Resampler) -> Iterator[np.ndarray]:
        """Yield consecutive waves (n,) of the whole recording, mono float32 at ``rate`` hertz. Raises AudioError."""
        if isinstance(self.content, np.ndarray):
            return iter([self.read(rate, resampler)])
        return blocks(self._file(), seconds=BLOCK_SECONDS, rate=rate, resampler=resampler)

    def read(self, rate: int, resampler: Resampler) -> np.ndarray:
        """Return the samples (S,), mono float32 (the mean of the channels) at ``rate`` hertz. Raises AudioError."""
        if isinstance(self.content, np.ndarray):
            start = round(self.start * self.sample_rate)
            stop = None if self.end is None else round(self.end * self.sample_rate)
            wave = resample(self.content[..., start:stop], self.sample_rate, rate, resampler)
            wave = wave if wave.ndim == 1 else wave.mean(0, dtype=np.float32)
        else:
            part = read(self._file(), start=self.start, end=self.end, rate=rate, mono="mean", resampler=resampler)
            wave = part.wave
        if self.seconds is None:
            return wave
        samples = round(self.seconds * rate)
        return np.pad(wave[:samples], (0, max(0, samples - len(wave))))

    def _file(self) -> Path | BinaryIO:
        if isinstance(self.content, Path) and self.content.is_dir():
            raise AudioError(
                f"the folder {self.name} holds no audio; known endings: {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        return self.content if isinstance(self.content, Path) else NamedBytes(bytes(self.content), self.name)


class NamedBytes(io.BytesIO):
    """Bytes with a name for error messages."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


def is_waveform(audio: Any) -> bool:
    """Return True for an array or tensor of samples, not a path or a list of paths."""
    return is_tensor(audio) or (isinstance(audio, np.ndarray) and audio.dtype.kind in "fiu")


def is_tensor(value: Any) -> bool:
    """Return True for a PyTorch tensor, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def audio_sources(audio: Any, sample_rate: int | None = None) -> Iterator[AudioSource]:
    """Yield the recordings of user input: files, the audio in and below folders, waveforms.

    Args:
        audio: a path, the bytes of a file, a waveform (S,) or (channels, S), an AudioSource, or an iterable of these
            (taken one by one, as they are needed).
        sample_rate: of waveforms, in hertz.

    A folder without audio is yielded too; reading it raises an AudioError that names it.
    """
    single = isinstance(audio, (str, bytes, os.PathLike, AudioSource)) or is_waveform(audio)
    for number, item in enumerate([audio] if single else audio):
        name = "audio" if single else f"audio {number}"
        if isinstance(item, AudioSource):
            yield item
        elif isinstance(item, bytes):
            yield AudioSource(name, item, name)
        elif is_waveform(item):
            yield waveform_source(item, sample_rate, name)
        else:
            path = Path(item)
            names = list(files_below(path, AUDIO_SUFFIXES)) if path.is_dir() else []
            yield from (AudioSource(str(path / inner), path / inner, inner) for inner in names)
            if not names:
                yield AudioSource(str(path), path, path.name)


def waveform_source(waveform: Any, sample_rate: int | None, name: str) -> AudioSource:
    """Return the source of samples in memory. Raises AuricleError for another shape or type, or without a rate."""
    samples = waveform.detach().cpu().numpy() if is_tensor(waveform) else np.asarray(waveform)
    if samples.ndim not in (1, 2) or samples.size == 0 or samples.dtype.kind != "f":
        raise AuricleError(
            f"expected float samples in [-1, 1] of shape (samples,) or (channels, samples), got {samples.dtype} "
            f"{samples.shape}"
        )
    if sample_rate is None:
        raise AuricleError("a waveform needs its sample rate: give sample_rate=… in hertz")
    if not np.isfinite(samples).all():
        raise AuricleError(f"{name}: holds NaN or infinite samples; repair it or leave it out")
    return AudioSource(name, samples.astype(np.float32), name, sample_rate=check_rate(sample_rate))


def find_audio(audio: Any, sample_rate: int | None = None) -> list[AudioSource]:
    """Return the recordings of ``audio_sources``, each file once and in order, no two files with the same ``place``.

    Where names repeat, places begin below the folder that all recordings share.
    """
    unique: dict[Any, AudioSource] = {}
    for source in audio_sources(audio, sample_rate):
        unique.setdefault(source.name if isinstance(source.content, Path) else id(source), source)
    sources = list(unique.values())
    if len({source.place for source in sources}) == len(sources):
        return sources
    paths = [os.path.abspath(source.name) for source in sources]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [replace(source, place=os.path.relpath(path, shared)) for source, path in zip(sources, paths)]


def files_below(folder: Path, suffixes: Iterable[str]) -> Iterator[str]:
    """Yield the files in a folder and below, by suffix, as relative paths in sorted order.

    Hidden files and folders are left out. Links are followed, each folder once.
    """
    wanted = tuple(suffixes)
    visited = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in visited)
        if real in visited:
            continue
        visited.add(real)
        for name in sorted(files):
            if name.lower().endswith(wanted) and not name.startswith("."):
                yield (Path(base) / name).relative_to(folder).as_posix()
