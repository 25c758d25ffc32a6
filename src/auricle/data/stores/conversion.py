"""Audio to stored log-mel spectrograms, clip by clip, with a journal of what is finished (specification m2d 1.3)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES, AudioInfo, blocks, probe, read
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import file_stamp, replacing
from auricle.core.randomness import key_of
from auricle.data.loading.statistics import Moments
from auricle.data.manifest.formats import files_below
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.npy import is_whole, write_array
from auricle.frontends.base import FrontEnd, front_end

# The log-mel spectrogram of a sound file, as it is stored for training (specification m2d 1.3).


@dataclass(frozen=True)
class LogMelConverter:
    """``log_mel_of(audio)`` -> (F, N) float32, natural log-mel, not normalised.

    Sound shorter than ``min_seconds`` is zero-padded at its end before the transform, to int(rate * min_seconds)
    samples; recordings longer than ``block_seconds`` are transformed block by block. Can be sent to another process.
    """

    front_end: str
    min_seconds: float = 0.0
    block_seconds: float = 600.0

    def __call__(
        self, audio: Path, start: float = 0.0, end: float | None = None, info: AudioInfo | None = None
    ) -> np.ndarray:
        """Of [start, end) seconds; ``info`` is what ``probe`` said of the file, where it was asked already.

        Raises AudioError for a broken file and for one too short to transform.
        """
        seconds = (info or probe(audio)).seconds
        if end is None and not start and seconds > max(self.block_seconds, self.min_seconds):
            return self.in_blocks(audio)
        return self.in_one_piece(audio, start, end)

    def in_one_piece(self, audio: Path, start: float = 0.0, end: float | None = None) -> np.ndarray:
        front = front_end(self.front_end)
        wave = read(audio, start=start, end=end, rate=front.sample_rate, mono="mean", resampler=front.resampler).wave
        wave = np.pad(wave, (0, max(0, int(self.min_seconds * front.sample_rate) - len(wave))))
        if len(wave) < front.min_samples:
            raise AudioError(
                f"{audio} lasts {1000 * len(wave) / front.sample_rate:.0f} ms; a spectrogram needs at least "
                f"{1000 * front.min_samples / front.sample_rate:.0f} ms: leave it out, or have short sound padded"
            )
        return log_mel_of_wave(wave, front)

    def in_blocks(self, audio: Path) -> np.ndarray:
        import torch

        from auricle.frontends.streaming import spectrogram_blocks

        front = front_end(self.front_end)
        waves = blocks(
            audio, seconds=self.block_seconds, rate=front.sample_rate, mono="mean", resampler=front.resampler
        )
        return torch.cat(list(spectrogram_blocks(waves, front)), dim=1).numpy()


def log_mel_of_wave(wave: np.ndarray, front: FrontEnd) -> np.ndarray:
    """(S,) at the front end's rate -> (F, N) float32."""
    import torch

    return front(torch.from_numpy(wave)[None])[0].numpy()


FOLDER, JOURNAL = "lms", "done.jsonl"


@dataclass(frozen=True)
class ConversionTask:
    """One clip to convert: its sound (start and end in seconds), and its place in the store."""

    id: str
    audio: Path
    start: float
    end: float | None
    key: str


@dataclass(frozen=True)
class Done:
    """One converted clip. ``source`` is what it was made from (size, time of change, span), to see when that changes.

    rate, num_samples   of the recording, as declared; count, mean and m2 the moments of the log-mel values
    """

    id: str
    key: str
    source: str
    rate: int
    num_samples: int
    count: int
    mean: float
    m2: float

    @property
    def moments(self) -> Moments:
        return Moments(self.count, self.mean, self.m2)


@dataclass(frozen=True)
class ConversionFailure:
    id: str
    path: str
    error: str


@dataclass(frozen=True)
class Converter:
    """``converter(task)`` writes ``lms/<key>`` (``dtype``, (1, F, N), raw log-mel) and notes it in the journal.

    Can be sent to another process.
    """

    out: Path
    log_mel_of: LogMelConverter
    dtype: str = "float32"

    def __call__(self, task: ConversionTask) -> Done | ConversionFailure:
        """A file that cannot be used is a Failure; a disk that cannot be written raises AuricleError."""
        try:
            info = probe(task.audio)
            values = self.log_mel_of(task.audio, task.start, task.end, info).astype(self.dtype)
        except AudioError as error:
            return ConversionFailure(task.id, str(task.audio), str(error))
        moments = asdict(Moments.of(values))
        done = Done(task.id, task.key, fingerprint(task), info.rate, info.num_samples, **moments)
        self._store(values, done)
        return done

    def _store(self, values: np.ndarray, done: Done) -> None:
        """The journal is written before the file takes its name: a line with its file in place is a finished clip."""
        path = self.out / FOLDER / done.key
        path.unlink(missing_ok=True)
        with replacing(path, durable=False) as temporary:
            with temporary.open("wb") as file:
                np.save(file, values[None])
            _append(self.out / JOURNAL, json.dumps(asdict(done)) + "\n")


def finished(out: Path, tasks: list[ConversionTask], dtype: str = "float32") -> dict[str, Done]:
    """The tasks whose spectrogram is in place and whose sound has not changed since, by id."""
    journal = _read_journal(out / JOURNAL)
    return {
        task.id: done
        for task in tasks
        if (done := journal.get(task.id)) is not None
        and done.key == task.key
        and done.source == fingerprint(task)
        and _whole(out / FOLDER / task.key, done, dtype)
    }


def _whole(path: Path, done: Done, dtype: str) -> bool:
    """Whether the file is there with all its values (a power cut can leave a name without its contents)."""
    return path.is_file() and path.stat().st_size >= done.count * np.dtype(dtype).itemsize


def tasks_of(manifest: Manifest) -> list[ConversionTask]:
    """One task per clip. Raises AuricleError for a clip without audio."""
    keys = keys_of(manifest.ids)
    return [ConversionTask(c.id, manifest.audio(c), c.start or 0.0, c.end, keys[c.id]) for c in manifest]


def keys_of(ids: tuple[str, ...]) -> dict[str, str]:
    """id -> path in the store: the id with its audio suffix replaced by ``.npy``, never outside the store.

    Ids that would meet in one file get a piece of their hash.
    """
    keys = {id: _key(id) for id in ids}
    counts = Counter(keys.values())
    return {id: key if counts[key] == 1 else f"{key[:-4]}-{key_of(id):032x}.npy" for id, key in keys.items()}


def _key(id: str) -> str:
    name = "/".join(part for part in PurePosixPath(id).parts if part not in ("/", ".."))
    suffix = PurePosixPath(name).suffix
    return (name[: -len(suffix)] if suffix.lower() in AUDIO_SUFFIXES else name) + ".npy"


def fingerprint(task: ConversionTask) -> str:
    """Size, time of change and span of the sound; empty when the file is not there."""
    stamp = file_stamp(task.audio)
    return f"{stamp[0]} {stamp[1]} {task.start}-{task.end}" if stamp else ""


def _append(path: Path, line: str) -> None:
    """One write in append mode, so that lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _read_journal(path: Path) -> dict[str, Done]:
    """The last line of each id; a line cut off by a kill is passed over."""
    done: dict[str, Done] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = Done(**json.loads(line))
            except (ValueError, TypeError):
                continue
            done[entry.id] = entry
    return done


# A folder of sound to a folder of log-mel files with the same relative paths (specification m2d 1.3).


@dataclass(frozen=True)
class Mirrored:
    """One file of the mirror: the relative path of the sound, and whether it was there before."""

    name: str
    kept: bool


@dataclass(frozen=True)
class Mirror:
    """``mirror("a/b.wav")`` writes ``out/a/b.npy``, (1, F, N) of ``dtype``; a whole file that is there is kept.

    Can be sent to another process.
    """

    source: Path
    out: Path
    log_mel_of: LogMelConverter
    dtype: str = "float32"

    def __call__(self, name: str) -> Mirrored | ConversionFailure:
        """A file that cannot be used is a Failure; a disk that cannot be written raises AuricleError."""
        target = self.out / stored_name(name)
        if is_whole(target):
            return Mirrored(name, kept=True)
        try:
            values = self.log_mel_of(self.source / name)
        except AudioError as error:
            return ConversionFailure(name, str(self.source / name), str(error))
        write_array(target, values, self.dtype)
        return Mirrored(name, kept=False)


def sounds_below(folder: Path, suffixes: Iterable[str]) -> list[str]:
    """Relative paths, sorted as text. Raises AuricleError when there are none, or two would become one ``.npy``."""
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
    """a/b.c.wav -> a/b.c.npy"""
    return str(Path(name).with_suffix(".npy"))
