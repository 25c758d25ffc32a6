"""Convert audio to stored log-mel spectrograms: the clips of a manifest, or a folder ([m2d 1.3](docs/specification/m2d.md#s1-3)).

A converter processes one file at a time, so that a pool of processes can share the work and a killed run can be continued.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES, AudioInfo, AudioNote, blocks, probe
from auricle.audio.sources import AudioSource, files_below
from auricle.audio.windows import SpanReader
from auricle.core.errors import AudioError, AuricleError, is_out_of_memory
from auricle.core.io import check_unchanged, file_stamp, replacing, short_name
from auricle.core.randomness import key_of
from auricle.data.loading.statistics import Moments
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.journal import Journal, journal_lines
from auricle.data.stores.npy import is_complete, write_array
from auricle.frontends.base import FrontEnd, front_end

FOLDER = "lms"
TOO_LARGE = "its spectrogram needs more memory than there is; cut the recording into clips"
SEARCHED = ("mp3", "mp2", "mpeg", "mpegts", "aac", "ac3", "eac3", "amr", "matroska")


@dataclass(frozen=True)
class LogMelConverter:
    """Computes the log-mel spectrogram of an audio file. Can be sent to another process.

    Attributes:
        front_end: Id of the front end.
        min_seconds: Shorter audio is zero-padded at its end before the transform, to int(rate * min_seconds) samples.
        block_seconds: Longer recordings are transformed block by block.
        strict: True refuses a file whose header does not declare the length of what is there.
    """

    front_end: str
    min_seconds: float = 0.0
    block_seconds: float = 600.0
    strict: bool = False

    def __call__(
        self,
        audio: Path,
        start: float = 0.0,
        end: float | None = None,
        info: AudioInfo | None = None,
        spans: SpanReader | None = None,
        notes: list[AudioNote] | None = None,
    ) -> np.ndarray:
        """Compute the spectrogram of a part of a recording.

        Args:
            audio: The file.
            start: First second.
            end: Where the part ends, in seconds; None: at the end of the recording.
            info: The result of ``probe`` for the file, if the caller has it.
            spans: Reads parts of the file where each by itself begins with a search for its place.
            notes: What is unusual about the file is appended.

        Returns:
            (F, N) float32, natural log-mel, not normalised.

        Raises:
            AudioError: The file is damaged, too short to transform, or its spectrogram is not finite.
        """
        notes = [] if notes is None else notes
        seconds = (info or probe(audio)).seconds
        if end is None and not start and seconds > max(self.block_seconds, self.min_seconds):
            values = self._in_blocks(audio, notes)
        else:
            front = front_end(self.front_end)
            part = AudioSource(str(audio), audio, start=start, end=end, strict=self.strict)
            wave = spans.read(part, notes) if spans else part.read(front.sample_rate, front.resampler, notes)
            values = self._in_one_piece(audio, wave, front)
        if not np.isfinite(values).all():
            raise AudioError(f"{audio}: its spectrogram is not finite; its samples are far too large")
        return values

    def span_reader(self, audio: Path) -> SpanReader:
        """Return what reads many parts of a recording at the front end's rate."""
        front = front_end(self.front_end)
        return SpanReader(audio, front.sample_rate, front.resampler, strict=self.strict)

    def _in_one_piece(self, audio: Path, wave: np.ndarray, front: FrontEnd) -> np.ndarray:
        wave = np.pad(wave, (0, max(0, int(self.min_seconds * front.sample_rate) - len(wave))))
        if len(wave) < front.min_samples:
            raise AudioError(
                f"{audio} lasts {1000 * len(wave) / front.sample_rate:.0f} ms; a spectrogram needs at least "
                f"{1000 * front.min_samples / front.sample_rate:.0f} ms: leave it out, or have short sound padded"
            )
        return log_mel_of_wave(wave, front)

    def _in_blocks(self, audio: Path, notes: list[AudioNote]) -> np.ndarray:
        import torch

        from auricle.frontends.streaming import spectrogram_blocks

        front = front_end(self.front_end)
        waves = blocks(
            audio,
            seconds=self.block_seconds,
            rate=front.sample_rate,
            resampler=front.resampler,
            strict=self.strict,
            notes=notes,
        )
        return torch.cat(list(spectrogram_blocks(waves, front)), dim=1).numpy()


def log_mel_of_wave(wave: np.ndarray, front: FrontEnd) -> np.ndarray:
    """Compute the log-mel spectrogram (F, N) float32 of a waveform (S,) at the front end's rate."""
    import torch

    return front(torch.from_numpy(wave)[None])[0].numpy()


@dataclass(frozen=True)
class ConversionTask:
    """One clip to convert: its audio (start and end in seconds), and its key in the store."""

    id: str
    audio: Path
    start: float
    end: float | None
    key: str


@dataclass(frozen=True)
class ConvertedClip:
    """One converted clip: a line of the journal.

    Attributes:
        id: Id of the clip.
        key: Its key in the store.
        source: Size, modification time and span of the audio, to notice changes.
        rate: Sample rate of the recording in hertz, as declared.
        num_samples: Length of the recording at ``rate``, as declared.
        count: Number of log-mel values; ``mean`` and ``m2`` are their mean and sum of squared deviations.
        notes: What is unusual about the file; not in the journal.
    """

    id: str
    key: str
    source: str
    rate: int
    num_samples: int
    count: int
    mean: float
    m2: float
    notes: tuple[AudioNote, ...] = ()

    @property
    def moments(self) -> Moments:
        """The moments of the log-mel values."""
        return Moments(self.count, self.mean, self.m2)


@dataclass(frozen=True)
class ConversionFailure:
    """One file that could not be converted."""

    id: str
    path: str
    error: str


@dataclass(frozen=True)
class Converter:
    """Converts clips to files ``lms/<key>`` of (1, F, N), not normalised, and appends a line for each to the journal.

    Can be sent to another process.

    Attributes:
        out: Folder of the store.
        log_mel_of: Computes the spectrograms.
        dtype: ``float32`` or ``float16``.
        journal: None: that of a run over all clips, in ``out``.
    """

    out: Path
    log_mel_of: LogMelConverter
    dtype: str = "float32"
    journal: Journal | None = None

    def __call__(self, task: ConversionTask) -> ConvertedClip | ConversionFailure:
        """Convert one clip. A file that cannot be used gives a ConversionFailure.

        Raises AuricleError when the store cannot be written.
        """
        return self.convert_recording([task])[0]

    def convert_recording(self, tasks: Sequence[ConversionTask]) -> list[ConvertedClip | ConversionFailure]:
        """Convert clips of one recording. A file that cannot be used gives a ConversionFailure for each of them.

        Raises AuricleError when the store cannot be written.
        """
        audio, stamp = tasks[0].audio, file_stamp(tasks[0].audio)
        try:
            info = probe(audio)
        except AuricleError as error:
            return [ConversionFailure(task.id, str(audio), str(error)) for task in tasks]
        spans = self.log_mel_of.span_reader(audio) if len(tasks) > 1 and _is_searched(info) else None
        return [self._convert(task, info, stamp, spans) for task in tasks]

    def _convert(
        self, task: ConversionTask, info: AudioInfo, stamp: list[int] | None, spans: SpanReader | None
    ) -> ConvertedClip | ConversionFailure:
        notes: list[AudioNote] = []
        try:
            values = self.log_mel_of(task.audio, task.start, task.end, info, spans, notes).astype(self.dtype)
            _check(values, task.audio, stamp)
        except Exception as error:
            return ConversionFailure(task.id, str(task.audio), _failure_of(task.audio, error))
        source, moments = fingerprint(task, stamp), asdict(Moments.of(values))
        done = ConvertedClip(task.id, task.key, source, info.rate, info.num_samples, **moments, notes=tuple(notes))
        self._store(values, done)
        return done

    def _store(self, values: np.ndarray, done: ConvertedClip) -> None:
        """Write the journal before the file gets its name: a clip is finished when its line and its file exist."""
        path = self.out / FOLDER / done.key
        path.unlink(missing_ok=True)
        with replacing(path, durable=False) as temporary:
            with temporary.open("wb") as file:
                np.save(file, values[None])
            line = asdict(done)
            del line["notes"]
            (self.journal or Journal(self.out)).append(line)


def lost_clips(tasks: Sequence[ConversionTask], reason: str) -> list[ConvertedClip | ConversionFailure]:
    """Return the failures of the clips of a recording that could not be worked on."""
    return [ConversionFailure(task.id, str(task.audio), f"{task.audio}: {reason}") for task in tasks]


def lost_file(source: Path, name: str, reason: str) -> ConvertedFile | ConversionFailure:
    """Return the failure of a file, named by its path relative to ``source``, that could not be worked on."""
    return ConversionFailure(name, str(source / name), f"{source / name}: {reason}")


def _failure_of(audio: Path, error: Exception) -> str:
    """Return why a recording could not be converted; the others are, whatever a library raises about one."""
    if isinstance(error, AuricleError):
        return str(error)
    if is_out_of_memory(error):
        return f"{audio}: {TOO_LARGE}"
    return f"{audio}: cannot be converted ({' '.join(f'{type(error).__name__}: {error}'.split())})"


def _check(values: np.ndarray, audio: Path, stamp: list[int] | None) -> None:
    """Raise AudioError for a spectrogram that is not finite, or of a recording that is no longer that of the stamp."""
    if not np.isfinite(values).all():
        raise AudioError(f"{audio}: its spectrogram is not finite; its samples are far too large")
    check_unchanged(audio, stamp)


def by_recording(tasks: Iterable[ConversionTask]) -> list[list[ConversionTask]]:
    """Group tasks by recording, in the order of the recordings' first tasks, each group by start."""
    groups: dict[Path, list[ConversionTask]] = {}
    for task in tasks:
        groups.setdefault(task.audio, []).append(task)
    return [sorted(group, key=lambda task: task.start) for group in groups.values()]


def _is_searched(info: AudioInfo) -> bool:
    """Return True for formats without an index, in which a place is found by reading from the beginning."""
    return info.format.partition("/")[0] in SEARCHED


def find_finished(out: Path, tasks: list[ConversionTask], dtype: str = "float32") -> dict[str, ConvertedClip]:
    """Return the tasks whose spectrogram is stored and whose audio has not changed since, by id."""
    finished: dict[str, ConvertedClip] = {}
    for lines in journal_lines(out):
        entries = {entry.id: entry for entry in map(_entry, lines) if entry is not None}  # the last line of each id
        for task in tasks:
            done = entries.get(task.id)
            if done is not None and task.id not in finished and _holds(out, task, done, dtype):
                finished[task.id] = done
    return finished


def _holds(out: Path, task: ConversionTask, done: ConvertedClip, dtype: str) -> bool:
    """Return True if the spectrogram of a clip is that of its audio as it is now, and whole."""
    current = done.key == task.key and done.source == fingerprint(task, file_stamp(task.audio))
    return current and _is_complete(out / FOLDER / task.key, done, dtype)


def _is_complete(path: Path, done: ConvertedClip, dtype: str) -> bool:
    """Return True if the file exists with all its values (a power cut can leave a file without its content)."""
    return path.is_file() and path.stat().st_size >= done.count * np.dtype(dtype).itemsize


def tasks_of(manifest: Manifest) -> list[ConversionTask]:
    """Make one task per clip. Raises AuricleError for a clip without audio."""
    keys = keys_of(manifest.ids)
    return [ConversionTask(c.id, manifest.audio(c), c.start or 0.0, c.end, keys[c.id]) for c in manifest]


def keys_of(ids: tuple[str, ...]) -> dict[str, str]:
    """Return the key in the store for every id: the id with ``.npy`` instead of its audio suffix, never outside the store.

    Ids that would share a file get their hash added, and so do names that are too long for a file system.
    """
    keys = {id: _key(id) for id in ids}
    counts = Counter(keys.values())
    return {id: key if counts[key] == 1 else _key(id, hashed=True) for id, key in keys.items()}


KEY_BYTES = 1024  # of the folders in a key; whole paths may have 4096


def _key(id: str, hashed: bool = False) -> str:
    *folders, name = [part for part in PurePosixPath(id.replace("\0", "")).parts if part not in ("/", "..")] or [""]
    suffix = PurePosixPath(name).suffix
    name = name[: -len(suffix)] if suffix.lower() in AUDIO_SUFFIXES else name
    if len(os.fsencode("/".join(folders))) > KEY_BYTES:
        folders, hashed = [], True
    name = short_name(name, f"-{key_of(id):032x}.npy" if hashed else ".npy")
    return "/".join((*map(short_name, folders), name))


def fingerprint(task: ConversionTask, stamp: list[int] | None) -> str:
    """Return size, modification time (``stamp``) and span of the audio; empty when the file is missing."""
    return f"{stamp[0]} {stamp[1]} {task.start}-{task.end}" if stamp else ""


def _entry(values: Any) -> ConvertedClip | None:
    """Return the clip of a line of a journal; None for any other line."""
    try:
        entry = ConvertedClip(**values)
    except TypeError:
        return None
    texts, counts = (entry.id, entry.key, entry.source), (entry.rate, entry.num_samples, entry.count)
    whole = all(isinstance(text, str) for text in texts) and all(type(n) is int and n >= 0 for n in counts)
    numbers = all(type(x) in (int, float) and math.isfinite(x) for x in (entry.mean, entry.m2))
    return entry if whole and numbers else None


@dataclass(frozen=True)
class ConvertedFile:
    """One file of a converted folder: the relative path of its audio, whether an earlier run converted it (``kept``), and what
    is unusual about it."""

    name: str
    kept: bool
    notes: tuple[AudioNote, ...] = ()


@dataclass(frozen=True)
class FolderConverter:
    """Converts ``source/a/b.wav`` to ``out/a/b.npy`` of (1, F, N); a complete file that exists is left as it is.

    Can be sent to another process.

    Attributes:
        source: Folder of the audio.
        out: Folder of the spectrograms.
        log_mel_of: Computes the spectrograms.
        dtype: ``float32`` or ``float16``.
    """

    source: Path
    out: Path
    log_mel_of: LogMelConverter
    dtype: str = "float32"

    def __call__(self, name: str) -> ConvertedFile | ConversionFailure:
        """Convert one file, named by its relative path. A file that cannot be used gives a ConversionFailure.

        Raises AuricleError when the folder cannot be written.
        """
        target = self.out / stored_name(name)
        if is_complete(target):
            return ConvertedFile(name, kept=True)
        audio = self.source / name
        stamp = file_stamp(audio)
        notes: list[AudioNote] = []
        try:
            values = self.log_mel_of(audio, notes=notes)
            _check(values, audio, stamp)
        except Exception as error:
            return ConversionFailure(name, str(audio), _failure_of(audio, error))
        write_array(target, values, self.dtype)
        return ConvertedFile(name, kept=False, notes=tuple(notes))


def list_audio(folder: Path, suffixes: Iterable[str]) -> list[str]:
    """Return the relative paths of the audio in a folder and below, sorted as text.

    A folder that cannot be listed is among them. Raises AuricleError when there is none, or when two files would become one
    ``.npy``.
    """
    suffixes = tuple(suffix.lower() for suffix in suffixes)
    if not folder.is_dir():
        raise AuricleError(f"{folder} is not a folder")
    names = sorted(files_below(folder, suffixes))
    if not names:
        raise AuricleError(f"no {', '.join(suffixes)} in {folder} nor below it; --suffix names another one, or 'any'")
    owners: dict[str, str] = {}
    for name in names:
        first = owners.setdefault(stored_name(name), name)
        if first != name:
            raise AuricleError(
                f"{first} and {name} of {folder} would both become {stored_name(name)}; convert one --suffix"
            )
    return names


def stored_name(name: str) -> str:
    """Return the file of a spectrogram: a/b.c.npy for a/b.c.wav."""
    return str(Path(name).with_suffix(".npy"))
