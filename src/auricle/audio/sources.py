"""Which recordings are meant: files, folders, bytes, waveforms and what other libraries return, as sources to read."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auricle.audio.arrays import column_of, is_table, is_waveform, kind_of, rated, samples_of
from auricle.audio.decode import AUDIO_SUFFIXES, AudioNote, blocks, probe, read
from auricle.audio.decode.base import Levels
from auricle.audio.resample import MAX_RATE, MIN_RATE, Resampler, check_rate, resample
from auricle.core.errors import AudioError, AuricleError, first_line
from auricle.core.io import path_of

BLOCK_SECONDS = 30.0  # decoded at a time
TRAILING = re.compile(r"[\s.\u200b\ufeff]+$")  # blanks, seen or not, and dots at the end of a file name
AUDIO_HEADS = (b"fLaC", b"OggS", b"caff")  # first bytes of recordings that some programs write without a suffix
FORM_HEADS = (b"RIFF", b"RF64", b"BW64", b"FORM")  # and of those whose kind follows at byte 8
EXPECTED = (
    "expected a path, the bytes of a file, an open file, a waveform with sample_rate=…, (waveform, rate), "
    "{'array': …, 'sampling_rate': …}, or a list of these"
)


@dataclass(frozen=True, eq=False)
class AudioSource:
    """A recording, or a part of one.

    Attributes:
        name: what results and messages call it.
        content: a file, the bytes of one, a function that returns these bytes, or samples (S,) or (channels, S) at
            ``sample_rate`` hertz.
        place: relative path of what is written about it.
        start, end: seconds of the recording; an end of None is the recording's.
        seconds: cut or zero-pad to this length; None: as it is.
        error: why it cannot be read, if that is known already.
        strict: refuse a file whose header does not declare the length of what is there.
    """

    name: str
    content: Path | bytes | Callable[[], bytes] | np.ndarray
    place: str = ""
    start: float = 0.0
    end: float | None = None
    seconds: float | None = None
    sample_rate: int = 0
    error: str = ""
    strict: bool = False

    def length(self) -> float:
        """Return the seconds of the whole recording; of a file, what its header declares. Raises AudioError."""
        if isinstance(self.content, np.ndarray):
            return self.content.shape[-1] / self.sample_rate
        return probe(self._file()).seconds

    def blocks(self, rate: int, resampler: Resampler, notes: list[AudioNote] | None = None) -> Iterator[np.ndarray]:
        """Yield consecutive waves (n,) of the whole recording, mono float32 at ``rate`` hertz. Raises AudioError.

        What is unusual about the recording is appended to ``notes``.
        """
        if isinstance(self.content, np.ndarray):
            return iter([self.read(rate, resampler, notes)])
        file = self._file()
        return blocks(file, seconds=BLOCK_SECONDS, rate=rate, resampler=resampler, strict=self.strict, notes=notes)

    def read(self, rate: int, resampler: Resampler, notes: list[AudioNote] | None = None) -> np.ndarray:
        """Return the samples (S,), mono float32 (the mean of the channels) at ``rate`` hertz. Raises AudioError.

        What is unusual about the recording is appended to ``notes``.
        """
        if isinstance(self.content, np.ndarray):
            start = round(self.start * self.sample_rate)
            stop = None if self.end is None else round(self.end * self.sample_rate)
            held = self.content[..., start:stop]
            if notes is not None and start == 0:  # the first of several windows stands for all
                levels = Levels(self.name, self.sample_rate, start)
                levels.add(np.atleast_2d(held).T)
                notes.extend(levels.notes(whole=stop is None))
            wave = resample(held, self.sample_rate, rate, resampler)
            wave = wave if wave.ndim == 1 else wave.mean(0, dtype=np.float32)
        else:
            part = read(
                self._file(), start=self.start, end=self.end, rate=rate, resampler=resampler, strict=self.strict
            )
            wave = part.wave
            if notes is not None:
                notes.extend(part.notes)
        if self.seconds is None:
            return wave
        length = round(self.seconds * rate)
        return np.pad(wave[:length], (0, max(0, length - len(wave))))

    def at_rate(self, rate: int, resampler: Resampler) -> AudioSource:
        """Return a source whose samples in memory are at ``rate`` hertz, so that parts of it are cut from one resampling."""
        if not isinstance(self.content, np.ndarray) or self.sample_rate == rate:
            return self
        return replace(self, content=resample(self.content, self.sample_rate, rate, resampler), sample_rate=rate)

    def _file(self) -> Path | BinaryIO:
        if self.error:
            raise AudioError(self.error)
        if isinstance(self.content, Path) and os.path.isdir(self.content):
            try:
                os.listdir(self.content)
            except OSError as error:
                raise AudioError(f"the folder {self.name} cannot be listed ({error.strerror})") from None
            raise AudioError(
                f"the folder {self.name} holds no audio; known endings: {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        assert not isinstance(self.content, np.ndarray), "samples are not decoded"
        if isinstance(self.content, Path):
            return self.content
        return NamedBytes(self.content() if callable(self.content) else bytes(self.content), self.name)


class NamedBytes(io.BytesIO):
    """Bytes with a name for error messages."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


# ---- one recording, or several
def is_path(value: Any) -> bool:
    """Return True for a path, as text or as an object."""
    return isinstance(value, (str, os.PathLike))


def is_one(audio: Any) -> bool:
    """Return True for one recording (or folder), False for several of them."""
    if isinstance(audio, Mapping):  # a row of a data set, or a batch of rows
        return not isinstance(audio.get("audio"), Iterable) or is_one(audio["audio"])
    known = isinstance(audio, (str, bytes, bytearray, memoryview, os.PathLike, AudioSource))
    if known or is_waveform(audio) or rated(audio) is not None:
        return True
    return not is_table(audio) and (_has(audio, "read") or _has(audio, DECODE))


def as_list(audio: Any) -> list[Any]:
    """Return the recordings of user input, one by one, as they were given. Raises AuricleError for anything else."""
    return [audio] if is_one(audio) else list(_several(audio))


def _several(audio: Any) -> Iterable[Any]:
    """The recordings of a list, an iterator, a column of a table or a batch of a data set."""
    items = audio["audio"] if isinstance(audio, Mapping) else column_of(audio) if is_table(audio) else audio
    if not isinstance(items, Iterable) or getattr(items, "ndim", 1) == 0:
        raise AuricleError(f"{EXPECTED}; got {kind_of(items)}")
    return items


def audio_sources(audio: Any, sample_rate: int | None = None, name: str = "audio") -> Iterator[AudioSource]:
    """Yield the recordings of user input.

    Args:
        audio: one of these, or an iterable of them, taken one by one as they are needed:
            a path (of a folder: all audio in and below it), the bytes of a file, a file opened in mode "rb",
            a waveform (S,), (channels, S) or (S, channels) as an array or tensor of floats,
            a waveform with its rate, as a pair or as the dictionary of a Hugging Face data set
            ({"array", "sampling_rate"}, {"bytes", "path"}, or a row that has such an entry under "audio"),
            a torchcodec decoder, an AudioSource. A data frame with one column stands for its cells.
        sample_rate: in hertz, of waveforms that come without a rate.
        name: of a recording without a name; one of several has its number behind it.

    A folder without audio is yielded too; reading it raises an AudioError that names it. So does reading one waveform
    or open file of several that holds no samples or NaN.

    Raises:
        AuricleError: for anything else, for waveforms of another shape or type, and for a waveform without a rate.
    """
    if is_one(audio):
        yield from _sources(audio, sample_rate, name)
        return
    for number, item in enumerate(_several(audio)):
        own = f"{name} {number}"
        try:
            yield from _sources(item, sample_rate, own)
        except AudioError as error:
            yield AudioSource(own, b"", own, error=str(error))


def _sources(item: Any, sample_rate: int | None, name: str) -> Iterator[AudioSource]:
    """The source of one recording, or those of a folder; ``name`` is for a recording without a name."""
    item = item.as_py() if _has(item, "as_py") else item  # a cell of PyArrow
    if isinstance(item, AudioSource):
        yield item
    elif is_path(item):
        path = path_of(item)
        names = list(files_below(path, AUDIO_SUFFIXES)) if os.path.isdir(path) else []
        yield from (AudioSource(str(path / inner), path / inner, inner) for inner in names)
        if not names:
            yield AudioSource(str(path), path, path.name)
    elif is_waveform(item):
        yield waveform_source(item, sample_rate, name)
    elif isinstance(item, (bytes, bytearray, memoryview)):
        yield _bytes_source(item, name)
    elif isinstance(item, Mapping):
        yield from _sources_of_entry(item, sample_rate, name)
    elif (pair := rated(item)) is not None:
        yield waveform_source(*pair, name)
    elif _has(item, DECODE):
        yield _decoded_source(item, name)
    elif _has(item, "read"):
        yield _opened_source(item, name)
    else:
        raise AuricleError(f"{name}: {EXPECTED}; got {kind_of(item)}")


DECODE = "get_all_samples"  # of torchcodec's AudioDecoder, which Hugging Face data sets return


def _sources_of_entry(entry: Mapping[str, Any], sample_rate: int | None, name: str) -> Iterator[AudioSource]:
    """The source of a data set's row or of its audio: samples with a rate, else bytes, else a path."""
    path, rate = entry.get("path"), entry.get("sampling_rate", entry.get("sample_rate", sample_rate))
    named = str(path) if path and is_path(path) else name
    samples = next((entry[key] for key in ("array", "raw") if entry.get(key) is not None), None)
    if samples is not None:
        yield waveform_source(samples, rate, named)
    elif entry.get("bytes") is not None:
        yield _bytes_source(entry["bytes"], named)
    elif entry.get("audio") is not None:
        yield from _sources(entry["audio"], rate, named)
    elif path is not None:
        yield from _sources(path, rate, name)
    else:
        raise AuricleError(f"{name}: {EXPECTED}; got a dictionary with {', '.join(map(str, entry)) or 'no entries'}")


def _decoded_source(decoder: Any, name: str) -> AudioSource:
    """Decode all samples. Raises AudioError for whatever the decoder raises."""
    try:
        samples = decoder.get_all_samples()
    except Exception as error:
        raise AudioError(f"{name}: the decoder failed ({first_line(error)[:200]}); leave the recording out") from None
    return waveform_source(samples.data, samples.sample_rate, name)


def _opened_source(file: Any, name: str) -> AudioSource:
    """Read an open file from where it stands. Raises AudioError where nothing is left to read."""
    file_name = getattr(file, "name", None)
    name = file_name if isinstance(file_name, str) else name
    try:
        content = file.read()
    except Exception as error:  # of an archive or of a network, too
        raise AudioError(f"{name}: the open file cannot be read ({first_line(error)[:200]})") from None
    if not isinstance(content, (bytes, bytearray)):
        raise AuricleError(f"{name}: the file gives {kind_of(content)}, expected bytes; open it in mode 'rb'")
    if not content:
        raise AudioError(f"{name}: nothing is left to read in the open file; go to its beginning with seek(0)")
    return _bytes_source(content, name)


def _bytes_source(content: Any, name: str) -> AudioSource:
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise AuricleError(f"{name}: expected the bytes of a file, got {kind_of(content)}")
    return AudioSource(name, bytes(content), Path(name).name)


def _has(value: Any, method: str) -> bool:
    return callable(getattr(value, method, None))


# ---- waveforms
def waveform_source(waveform: Any, sample_rate: float | None, name: str) -> AudioSource:
    """Return the source of samples in memory.

    Raises:
        AuricleError: for another shape or type, and without a rate.
        AudioError: for no samples, and for NaN or infinite ones.
    """
    samples = samples_of(waveform, name)
    if sample_rate is None:
        raise AuricleError(f"{name}: a waveform needs its sample rate: give sample_rate=… in hertz")
    rate = check_rate(sample_rate)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AuricleError(f"{name}: a sample rate of {rate} Hz; expected {MIN_RATE} to {MAX_RATE}, in hertz")
    return AudioSource(name, samples, Path(name).name, sample_rate=rate)


# ---- all recordings of a call
def find_audio(audio: Any, sample_rate: int | None = None) -> list[AudioSource]:
    """Return the recordings of ``audio_sources``, each file once and in order, no two with the same name or ``place``.

    Where names of files repeat, places begin below the folder that all recordings share.
    """
    unique: dict[Any, AudioSource] = {}
    for source in audio_sources(audio, sample_rate):
        unique.setdefault(source.name if isinstance(source.content, Path) else id(source), source)
    sources = _named_apart(list(unique.values()))
    if len({source.place for source in sources}) == len(sources):
        return sources
    paths = [os.path.abspath(source.name) for source in sources]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [replace(source, place=os.path.relpath(path, shared)) for source, path in zip(sources, paths)]


def _named_apart(sources: list[AudioSource]) -> list[AudioSource]:
    """Give recordings in memory a number where another has the name already: "a.wav", "a.wav (2)"."""
    taken = {source.name for source in sources if isinstance(source.content, Path)}
    apart = []
    for source in sources:
        if not isinstance(source.content, Path):
            numbered = (f"{source.name} ({number})" for number in count(2))
            name = next(name for name in chain([source.name], numbered) if name not in taken)
            taken.add(name)
            source = source if name == source.name else replace(source, name=name, place=Path(name).name)
        apart.append(source)
    return apart


def files_below(folder: Path, suffixes: Iterable[str]) -> Iterator[str]:
    """Yield the files in a folder and below, by suffix, as relative paths in sorted order.

    Hidden files and folders are left out. Links are followed, each folder once. A folder that cannot be listed is yielded
    itself, so that it is not left out silently: reading it fails with a message, as reading a broken file does. Where
    recordings are looked for, files without any suffix whose first bytes are those of a recording are yielded too.
    """
    wanted = tuple(suffixes)
    sniffs = AUDIO_SUFFIXES.issubset(wanted)
    visited = set()
    unlisted: list[str] = []
    walk = os.walk(folder, followlinks=True, onerror=lambda error: unlisted.append(error.filename))
    for base, folders, files in walk:
        yield from _relative(unlisted, folder)
        real = os.path.realpath(base)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in visited)
        if real in visited:
            continue
        visited.add(real)
        for name in sorted(files):
            found = has_suffix(name, wanted) or (sniffs and "." not in name and _begins_as_audio(Path(base) / name))
            if found and not name.startswith("."):
                yield (Path(base) / name).relative_to(folder).as_posix()
    yield from _relative(unlisted, folder)


def has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return True if a file name ends in one of the suffixes (lower case), but for blanks and dots behind it ("a.WAV ")."""
    name = name.lower()
    return name.endswith(suffixes) or (not name[-1:].isalnum() and TRAILING.sub("", name).endswith(suffixes))


def _begins_as_audio(path: Path) -> bool:
    """Return True if a file begins as WAV, AIFF, FLAC, Ogg or CAF do."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[:4] in AUDIO_HEADS or (head[:4] in FORM_HEADS and head[8:11] in (b"WAV", b"AIF"))


def _relative(folders: list[str], base: Path) -> Iterator[str]:
    """Take the folders out of the list and yield them as paths relative to ``base``."""
    while folders:
        yield Path(folders.pop(0)).relative_to(base).as_posix()
